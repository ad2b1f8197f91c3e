from .canaries import canary_notes as canary_notes
from .gate import check_release as check_release
from .push import push_folder as push_folder
