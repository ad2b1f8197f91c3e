from .corpus_similarity import similarity as similarity
from .domain_adaptation import adapt_encoder as adapt_encoder
from .encoder_ranking import rank_encoders as rank_encoders
from .gain import learning_curve as learning_curve
from .gain import transfer_gains as transfer_gains
from .matching import match_labels as match_labels
from .matching import match_notes as match_notes
from .self_training import self_train as self_train
