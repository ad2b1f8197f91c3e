from .conversion import convert_encoder as convert_encoder
from .embeddings import embed as embed
from .embeddings import embed_units as embed_units
from .frozen_encoder import FrozenEncoder as FrozenEncoder
from .heads import Head as Head
