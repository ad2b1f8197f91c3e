from .choosing import choose_labels as choose_labels
from .corpora import load_corpus as load_corpus
from .leakage import check_leakage as check_leakage
from .predictions import predictions_table as predictions_table
from .predictions import write_predictions as write_predictions
from .results.predicted import predicted_notes as predicted_notes
from .synthetic import generate_notes as generate_notes
from .writing import write_notes as write_notes
