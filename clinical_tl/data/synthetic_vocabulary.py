"""The words of the synthetic notes: conditions, drugs, symptoms, procedures, plain fillers.

Symptoms, procedures and trial drugs are also composed from parts, so that many mentions of a
test set never occur in a training set.
"""

from __future__ import annotations

from clinical_tl.data.synthetic_organ_conditions import (
    CARDIOLOGY,
    GASTROENTEROLOGY,
    NEPHROLOGY,
    PULMONOLOGY,
)
from clinical_tl.data.synthetic_records import Condition, Drug
from clinical_tl.data.synthetic_systemic_conditions import (
    ENDOCRINOLOGY,
    INFECTIOUS_DISEASE,
    NEUROLOGY,
    ONCOLOGY,
)

CONDITIONS_BY_SPECIALTY: dict[str, tuple[Condition, ...]] = {
    "cardiology": CARDIOLOGY,
    "pulmonology": PULMONOLOGY,
    "gastroenterology": GASTROENTEROLOGY,
    "infectious disease": INFECTIOUS_DISEASE,
    "neurology": NEUROLOGY,
    "nephrology": NEPHROLOGY,
    "endocrinology": ENDOCRINOLOGY,
    "oncology": ONCOLOGY,
}
SPECIALTIES = tuple(CONDITIONS_BY_SPECIALTY)
CONDITIONS = tuple(c for group in CONDITIONS_BY_SPECIALTY.values() for c in group)

# Pairs that ICD-10-CM codes as one combined diagnosis (I11, I12, E11.22) or calls
# contradictory; together in a note they would make its codes wrong. Categories.
CONFLICTS = frozenset(
    frozenset(pair)
    for pair in (
        ("I10", "I50"),
        ("I10", "N18"),
        ("I21", "I25"),
        ("E10", "E11"),
        ("E11", "N18"),
        ("E11", "E16"),
        ("E03", "E05"),
        ("J44", "J45"),
        ("J44", "J47"),
        ("J18", "J44"),
        ("J18", "J10"),
        ("J18", "U07"),
        ("J18", "A15"),
        ("K50", "K51"),
        ("I63", "G45"),
        ("N04", "N05"),
        ("N20", "N13"),
        ("N39", "N13"),
    )
)

DRUGS: tuple[Drug, ...] = (
    Drug("acetaminophen", ("325 mg", "650 mg", "1 g"), ("Tylenol", "APAP", "paracetamol")),
    Drug("adalimumab", ("40 mg", "80 mg"), ("Humira",)),
    Drug("adenosine", ("6 mg", "12 mg")),
    Drug("alteplase", ("50 mg", "81 mg"), ("tPA",)),
    Drug("amlodipine", ("2.5 mg", "5 mg", "10 mg"), ("Norvasc",)),
    Drug("apixaban", ("2.5 mg", "5 mg"), ("Eliquis",)),
    Drug("aspirin", ("81 mg", "325 mg"), ("ASA", "baby aspirin")),
    Drug("atezolizumab", ("840 mg",)),
    Drug("atorvastatin", ("20 mg", "40 mg", "80 mg"), ("Lipitor", "atorva")),
    Drug("azathioprine", ("50 mg", "100 mg")),
    Drug("azithromycin", ("250 mg", "500 mg"), ("azithro",)),
    Drug("baclofen", ("5 mg", "10 mg")),
    Drug("bictegravir", ("50 mg",)),
    Drug("bortezomib", ("1.3 mg/m2",)),
    Drug("brentuximab", ("1.8 mg/kg",)),
    Drug("bumetanide", ("1 mg", "2 mg"), ("Bumex",)),
    Drug("calcitriol", ("0.25 mcg", "0.5 mcg")),
    Drug("calcium gluconate", ("1 g", "2 g")),
    Drug("carbidopa-levodopa", ("25-100 mg", "25-250 mg"), ("Sinemet",)),
    Drug("carboplatin", ("AUC 5", "450 mg")),
    Drug("carvedilol", ("3.125 mg", "6.25 mg", "12.5 mg"), ("Coreg",)),
    Drug("cefazolin", ("1 g", "2 g"), ("Ancef",)),
    Drug("ceftriaxone", ("1 g", "2 g"), ("Rocephin", "CTX")),
    Drug("cephalexin", ("500 mg",), ("Keflex",)),
    Drug("cinacalcet", ("30 mg", "60 mg")),
    Drug("ciprofloxacin", ("400 mg", "500 mg"), ("cipro",)),
    Drug("clopidogrel", ("75 mg", "300 mg"), ("Plavix",)),
    Drug("colchicine", ("0.6 mg", "0.5 mg")),
    Drug("cyclophosphamide", ("500 mg/m2", "750 mg")),
    Drug("cyclosporine", ("100 mg", "150 mg")),
    Drug("cytarabine", ("100 mg/m2",), ("ara-C",)),
    Drug("daptomycin", ("6 mg/kg", "500 mg")),
    Drug("daunorubicin", ("60 mg/m2", "90 mg/m2")),
    Drug("dexamethasone", ("4 mg", "6 mg", "10 mg"), ("Decadron",)),
    Drug("dextrose", ("25 g", "50 mL"), ("D50",)),
    Drug("diltiazem", ("30 mg", "120 mg", "240 mg"), ("dilt",)),
    Drug("dolutegravir", ("50 mg",)),
    Drug("donepezil", ("5 mg", "10 mg"), ("Aricept",)),
    Drug("doxorubicin", ("25 mg/m2", "50 mg")),
    Drug("empagliflozin", ("10 mg", "25 mg"), ("Jardiance",)),
    Drug("epoetin alfa", ("4,000 units", "10,000 units"), ("EPO",)),
    Drug("ezetimibe", ("10 mg",)),
    Drug("famotidine", ("20 mg", "40 mg"), ("Pepcid",)),
    Drug("fidaxomicin", ("200 mg",)),
    Drug("fludrocortisone", ("0.1 mg", "0.05 mg")),
    Drug("fluorouracil", ("400 mg/m2",), ("5-FU",)),
    Drug("furosemide", ("20 mg", "40 mg", "80 mg"), ("Lasix", "frusemide")),
    Drug("gemcitabine", ("800 mg/m2", "1 g/m2")),
    Drug("gentamicin", ("80 mg", "3 mg/kg")),
    Drug("glucagon", ("1 mg",)),
    Drug("heparin", ("5,000 units", "18 units/kg/h"), ("UFH",)),
    Drug("hydrochlorothiazide", ("12.5 mg", "25 mg"), ("HCTZ",)),
    Drug("hydrocortisone", ("20 mg", "50 mg", "100 mg"), ("Solu-Cortef",)),
    Drug("hypertonic saline", ("150 mL", "30 mL/h")),
    Drug("ibuprofen", ("400 mg", "600 mg"), ("Advil",)),
    Drug("immunoglobulin", ("0.4 g/kg", "30 g"), ("IVIG",)),
    Drug("infliximab", ("5 mg/kg", "400 mg"), ("Remicade",)),
    Drug("insulin glargine", ("10 units", "18 units", "24 units"), ("Lantus", "glargine")),
    Drug("insulin regular", ("6 units", "0.1 units/kg/h"), ("regular insulin",)),
    Drug("ipratropium", ("0.5 mg", "2 puffs"), ("Atrovent",)),
    Drug("isoniazid", ("300 mg",), ("INH",)),
    Drug("ketoconazole", ("200 mg",)),
    Drug("ketorolac", ("15 mg", "30 mg"), ("Toradol",)),
    Drug("lactated Ringer's", ("500 mL", "150 mL/h"), ("LR",)),
    Drug("lactulose", ("15 mL", "30 mL")),
    Drug("lamotrigine", ("25 mg", "100 mg"), ("Lamictal",)),
    Drug("lenalidomide", ("10 mg", "25 mg")),
    Drug("levetiracetam", ("500 mg", "750 mg"), ("Keppra", "LEV")),
    Drug("levofloxacin", ("500 mg", "750 mg"), ("Levaquin",)),
    Drug("levothyroxine", ("25 mcg", "75 mcg", "100 mcg"), ("Synthroid", "LT4")),
    Drug("lisinopril", ("5 mg", "10 mg", "40 mg"), ("Zestril",)),
    Drug("losartan", ("25 mg", "50 mg", "100 mg"), ("Cozaar",)),
    Drug("memantine", ("5 mg", "10 mg")),
    Drug("meropenem", ("500 mg", "1 g")),
    Drug("mesalamine", ("800 mg", "2.4 g")),
    Drug("metformin", ("500 mg", "850 mg", "1 g"), ("Glucophage",)),
    Drug("methimazole", ("5 mg", "10 mg")),
    Drug("methylprednisolone", ("40 mg", "125 mg"), ("Solu-Medrol",)),
    Drug("metoprolol", ("12.5 mg", "25 mg", "50 mg"), ("Lopressor", "metop")),
    Drug("metronidazole", ("500 mg",), ("Flagyl",)),
    Drug("modafinil", ("100 mg", "200 mg")),
    Drug("montelukast", ("10 mg",), ("Singulair",)),
    Drug("morphine", ("2 mg", "4 mg"), ("MSO4",)),
    Drug("nafcillin", ("2 g",)),
    Drug("nintedanib", ("100 mg", "150 mg")),
    Drug("nitrofurantoin", ("100 mg",), ("Macrobid",)),
    Drug("nivolumab", ("240 mg", "480 mg")),
    Drug("normal saline", ("500 mL", "1 L", "100 mL/h"), ("NS",)),
    Drug("ocrelizumab", ("300 mg", "600 mg")),
    Drug("octreotide", ("50 mcg", "50 mcg/h")),
    Drug("omeprazole", ("20 mg", "40 mg"), ("Prilosec",)),
    Drug("ondansetron", ("4 mg", "8 mg"), ("Zofran",)),
    Drug("oseltamivir", ("30 mg", "75 mg"), ("Tamiflu",)),
    Drug("osimertinib", ("80 mg",)),
    Drug("oxaliplatin", ("85 mg/m2",)),
    Drug("paclitaxel", ("80 mg/m2", "175 mg/m2"), ("Taxol",)),
    Drug("pantoprazole", ("40 mg", "80 mg", "8 mg/h"), ("Protonix", "PPI drip")),
    Drug("patiromer", ("8.4 g",)),
    Drug("pembrolizumab", ("200 mg",), ("Keytruda",)),
    Drug("piperacillin-tazobactam", ("3.375 g", "4.5 g"), ("Zosyn", "pip-tazo")),
    Drug("pirfenidone", ("267 mg", "801 mg")),
    Drug("potassium chloride", ("20 mEq", "40 mEq"), ("KCl",)),
    Drug("pramipexole", ("0.125 mg", "0.5 mg")),
    Drug("prednisone", ("10 mg", "40 mg", "60 mg"), ("pred",)),
    Drug("propranolol", ("10 mg", "40 mg")),
    Drug("pyridostigmine", ("30 mg", "60 mg"), ("Mestinon",)),
    Drug("remdesivir", ("100 mg", "200 mg")),
    Drug("rifampin", ("600 mg",), ("RIF",)),
    Drug("rivaroxaban", ("15 mg", "20 mg"), ("Xarelto",)),
    Drug("rosuvastatin", ("10 mg", "20 mg"), ("Crestor",)),
    Drug("sacubitril-valsartan", ("24-26 mg", "49-51 mg"), ("Entresto",)),
    Drug("salbutamol", ("2.5 mg", "2 puffs"), ("albuterol", "Ventolin")),
    Drug("semaglutide", ("0.25 mg", "1 mg"), ("Ozempic",)),
    Drug("sevelamer", ("800 mg",), ("Renvela",)),
    Drug("sodium bicarbonate", ("650 mg", "50 mEq"), ("bicarb",)),
    Drug("sorafenib", ("200 mg", "400 mg")),
    Drug("spironolactone", ("12.5 mg", "25 mg", "100 mg"), ("Aldactone",)),
    Drug("sucralfate", ("1 g",)),
    Drug("sumatriptan", ("6 mg", "50 mg"), ("Imitrex",)),
    Drug("sunitinib", ("37.5 mg", "50 mg")),
    Drug("tamoxifen", ("20 mg",)),
    Drug("tamsulosin", ("0.4 mg",), ("Flomax",)),
    Drug("temozolomide", ("75 mg/m2", "150 mg/m2")),
    Drug("tiotropium", ("18 mcg", "2 inhalations"), ("Spiriva",)),
    Drug("tolvaptan", ("15 mg", "30 mg")),
    Drug("topiramate", ("25 mg", "50 mg")),
    Drug("trastuzumab", ("6 mg/kg", "8 mg/kg"), ("Herceptin",)),
    Drug("ursodiol", ("300 mg", "500 mg")),
    Drug("valacyclovir", ("1 g", "500 mg"), ("Valtrex",)),
    Drug("valproate", ("250 mg", "500 mg"), ("Depakote",)),
    Drug("vancomycin", ("125 mg", "1 g", "1.25 g"), ("vanc",)),
    Drug("warfarin", ("2.5 mg", "5 mg"), ("Coumadin",)),
)
DRUG_BY_NAME = {drug.name: drug for drug in DRUGS}

TRIAL_DRUG_STARTS = (
    *("al", "bex", "cor", "dov", "el", "fim", "gal", "iv", "ken", "lum"),
    *("mir", "nor", "ost", "pel", "rov", "sel", "tam", "ul", "ver", "zan"),
)
TRIAL_DRUG_MIDDLES = ("a", "e", "o", "ati", "evi", "ido", "uli", "oma", "ira", "ene")
TRIAL_DRUG_STEMS = (
    "tinib",
    "zumab",
    "gliptin",
    "sartan",
    "vastatin",
    "floxacin",
    "parin",
    "setron",
)

# Each symptom with its synonyms.
SYMPTOMS_BY_SPECIALTY: dict[str, tuple[tuple[str, ...], ...]] = {
    "cardiology": (
        ("chest pain", "CP", "retrosternal pressure"),
        ("palpitations", "racing heart"),
        ("leg swelling", "ankle edema"),
        ("orthopnea", "waking breathless at night"),
    ),
    "pulmonology": (
        ("shortness of breath", "SOB", "dyspnoea"),
        ("wheezing", "noisy breathing"),
        ("cough", "productive cough"),
        ("hemoptysis", "blood-streaked sputum"),
    ),
    "gastroenterology": (
        ("abdominal pain", "belly pain"),
        ("vomiting", "N/V"),
        ("melena", "black stools"),
        ("heartburn",),
        ("jaundice", "yellow eyes"),
    ),
    "nephrology": (
        ("flank pain", "loin pain"),
        ("reduced urine output", "oliguria"),
        ("foamy urine",),
        ("hematuria", "blood in the urine"),
    ),
    "neurology": (
        ("headache", "HA"),
        ("facial droop", "crooked smile"),
        ("slurred speech", "dysarthria"),
        ("tremor", "shaky hands"),
        ("double vision", "diplopia"),
        ("confusion",),
    ),
    "endocrinology": (
        ("polyuria", "frequent urination"),
        ("excessive thirst", "polydipsia"),
        ("heat intolerance",),
        ("cold intolerance",),
        ("weight gain",),
    ),
    "infectious disease": (
        ("fever", "pyrexia"),
        ("chills", "rigors"),
        ("skin redness", "erythema"),
        ("dysuria", "painful urination"),
        ("malaise", "feeling unwell"),
    ),
    "oncology": (
        ("weight loss", "falling weight"),
        ("poor appetite", "anorexia"),
        ("bone pain",),
        ("easy bruising",),
        ("early satiety",),
        ("night sweats",),
    ),
}
SYMPTOM_QUALITIES = (
    *("dull", "burning", "stabbing", "intermittent", "crampy", "throbbing", "mild", "nagging"),
    *("sharp", "constant"),
)
SYMPTOM_SITES = (
    *("left shoulder", "right hip", "lower back", "neck", "left knee", "jaw", "left calf"),
    *("right ankle", "groin", "elbow", "left wrist", "upper back", "right foot", "scalp"),
)
SYMPTOM_KINDS = ("pain", "discomfort", "stiffness", "numbness", "tenderness", "itching")

PROCEDURES_BY_SPECIALTY: dict[str, tuple[str, ...]] = {
    "cardiology": ("echocardiogram", "cardiac catheterization", "telemetry", "TTE"),
    "pulmonology": ("bronchoscopy", "spirometry", "thoracentesis", "chest tube placement"),
    "gastroenterology": ("colonoscopy", "upper endoscopy", "EGD", "paracentesis", "ERCP"),
    "nephrology": ("hemodialysis", "renal ultrasound", "HD", "ureteral stenting"),
    "neurology": ("lumbar puncture", "EEG", "nerve conduction study", "LP"),
    "endocrinology": ("thyroid ultrasound", "cosyntropin test", "glucose clamp", "thyroid scan"),
    "infectious disease": ("blood cultures", "incision and drainage", "wound culture", "I&D"),
    "oncology": ("PET scan", "port placement", "chemotherapy cycle", "radiation planning"),
}
PROCEDURE_KINDS = (
    *("CT of the", "MRI of the", "ultrasound of the", "biopsy of the", "X-ray of the"),
    *("needle aspiration of the", "angiogram of the"),
)
PROCEDURE_SITES = (
    *("chest", "abdomen", "head", "pelvis", "neck", "left leg", "right arm", "liver", "spine"),
    *("kidneys", "thyroid", "left hip", "brain", "right knee", "sinuses"),
)

COMMON_DRUGS = ("acetaminophen", "ondansetron", "potassium chloride", "normal saline")

# Plain slot → what may fill it.
PLAIN_CHOICES: dict[str, tuple[str, ...]] = {
    "relative": (
        *("mother", "father", "sister", "brother", "maternal aunt", "paternal uncle"),
        *("grandfather", "maternal grandmother", "older brother", "twin sister", "son"),
        *("daughter", "cousin", "half-sister"),
    ),
    "ago": (
        *("two years ago", "last spring", "ten years ago", "in childhood", "three months ago"),
        *("last winter", "many years ago", "in early adulthood", "six weeks ago"),
        *("five years back", "a decade ago", "the year before last"),
    ),
    "freq": (
        *("daily", "BID", "twice a day", "q12h", "TID", "every 8 hours", "once daily", "qHS"),
        *("every morning", "PRN", "IV q24h", "PO daily"),
    ),
    "duration": (
        *("two days", "a week", "several hours", "three weeks", "about five days", "a month"),
        *("48 hours", "the past few days"),
    ),
    "diet": ("regular", "soft", "low-salt", "clear liquid", "pureed"),
    "job": ("teacher", "farmer", "bus driver", "baker", "librarian", "welder", "gardener"),
    "helper": ("one person", "a walker", "physiotherapy", "no help"),
    "well": ("well", "fairly well", "poorly", "as before", "better than yesterday"),
    "moisture": ("moist", "dry", "slightly dry"),
}

# Plain slot → (least, most, decimals). Nothing reaches four digits, so nothing looks like a
# year or a telephone number.
PLAIN_NUMBERS: dict[str, tuple[float, float, int]] = {
    "small": (2, 9, 0),
    "hr": (54, 128, 0),
    "rr": (12, 28, 0),
    "temp": (36.1, 39.2, 1),
    "sat": (89, 99, 0),
    "weight": (48, 112, 1),
    "volume": (300, 990, 0),
    "wbc": (3.2, 19.0, 1),
    "hgb": (7.1, 15.9, 1),
    "plt": (80, 420, 0),
    "na": (128, 147, 0),
    "k": (3.1, 5.6, 1),
    "cr": (0.6, 3.9, 1),
    "glu": (70, 310, 0),
    "crp": (3, 180, 0),
    "mg": (1.5, 2.6, 1),
}
