# The public names, once: each is loaded when it is first asked for.

from . import data as data
from . import display as display
from . import estimators as estimators
from . import evaluation as evaluation
from . import integrations as integrations
from . import metrics as metrics
from . import models as models
from . import network as network
from . import release as release
from . import rules as rules
from . import saved as saved
from . import tasks as tasks
from . import training as training
from . import transfer as transfer
from .data.corpora import note_splits as note_splits
from .data.notes import Notes as Notes
from .data.read_options import ReadOptions as ReadOptions
from .data.reading import read_notes as read_notes
from .data.splits import split_notes as split_notes
from .errors import ClinicalTLError as ClinicalTLError
from .evaluation.evaluating import evaluation_report as evaluation_report
from .models.feature_model import FeatureModel as FeatureModel
from .models.loading import load as load
from .models.open_codes import fit_open_codes as fit_open_codes
from .models.transfer_model import TransferModel as TransferModel
from .network.lora import LoRA as LoRA
from .schema import LabelSet as LabelSet
from .schema import Note as Note
from .schema import Prediction as Prediction
from .schema import Relation as Relation
from .schema import Span as Span
from .tasks.diagnosis_coding import DiagnosisCoding as DiagnosisCoding
from .tasks.entity_recognition import EntityRecognition as EntityRecognition
from .tasks.multi_label_classification import (
    MultiLabelClassification as MultiLabelClassification,
)
from .tasks.note_classification import NoteClassification as NoteClassification
from .tasks.relation_extraction import RelationExtraction as RelationExtraction
from .training.config import TrainingConfig as TrainingConfig
from .training.fitting import fit as fit
from .transfer.ladder import best_transfer as best_transfer
from .version import __version__ as __version__
