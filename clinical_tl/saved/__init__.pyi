from .card import write_card as write_card
from .card_details import CardDetails as CardDetails
