from .collection import ModelCollection as ModelCollection
from .collection import load_many as load_many
from .onnx_model import OnnxModel as OnnxModel
from .open_codes import OpenCodes as OpenCodes
from .reader import Reader as Reader
