"""Conditions of nerves and glands, infections and tumours; commonest first in each."""

from __future__ import annotations

from clinical_tl.data.synthetic_records import Condition

_STAGES = ("stage I", "stage II", "stage III", "locally advanced", "previously untreated")
_RELAPSED = ("relapsed", "newly diagnosed", "treatment-naive")

NEUROLOGY = tuple(
    Condition(code, "neurology", names, drugs, chronic, prevalence, qualifiers)
    for code, names, drugs, chronic, prevalence, qualifiers in (
        (
            "I63.9",
            ("ischemic stroke", "CVA", "stroke", "cerebral infarction", "brain infarct"),
            ("alteplase", "clopidogrel", "aspirin"),
            False,
            0.2,
            (),
        ),
        (
            "G40.909",
            ("epilepsy", "seizure disorder", "epileptic disorder"),
            ("levetiracetam", "lamotrigine", "valproate"),
            True,
            1.0,
            (),
        ),
        (
            "G45.9",
            ("TIA", "transient ischemic attack", "mini-stroke", "transient cerebral ischaemia"),
            ("clopidogrel", "aspirin"),
            False,
            0.1,
            (),
        ),
        (
            "G20.A1",
            ("Parkinson's disease", "Parkinson disease", "paralysis agitans", "shaking palsy"),
            ("carbidopa-levodopa", "pramipexole"),
            True,
            0.8,
            (),
        ),
        (
            "G43.909",
            ("migraine", "migrainous headache", "migraine headache"),
            ("sumatriptan", "topiramate"),
            True,
            1.5,
            (),
        ),
        (
            "G30.9",
            ("Alzheimer's disease", "Alzheimer dementia", "Alzheimer disease"),
            ("donepezil", "memantine"),
            True,
            0.8,
            (),
        ),
        (
            "G35.D",
            ("multiple sclerosis", "disseminated sclerosis", "demyelinating sclerosis"),
            ("ocrelizumab", "baclofen"),
            True,
            0.4,
            (),
        ),
        (
            "G61.0",
            ("Guillain-Barre syndrome", "GBS", "AIDP", "post-infectious polyradiculitis"),
            ("immunoglobulin",),
            False,
            0.05,
            (),
        ),
        (
            "G70.00",
            ("myasthenia gravis", "autoimmune neuromuscular weakness"),
            ("pyridostigmine", "immunoglobulin"),
            True,
            0.3,
            (),
        ),
    )
)

ENDOCRINOLOGY = tuple(
    Condition(code, "endocrinology", names, drugs, chronic, prevalence, qualifiers)
    for code, names, drugs, chronic, prevalence, qualifiers in (
        (
            "E10.10",
            ("diabetic ketoacidosis", "DKA", "type 1 diabetes with ketoacidosis"),
            ("insulin regular", "potassium chloride"),
            False,
            0.1,
            (),
        ),
        (
            "E11.65",
            (
                *("type 2 diabetes with hyperglycemia", "hyperglycemic type 2 diabetes"),
                *("T2DM with hyperglycemia", "T2DM out of control with high sugars"),
            ),
            ("insulin glargine", "metformin"),
            False,
            0.3,
            (),
        ),
        (
            "E11.9",
            ("type 2 diabetes", "T2DM", "DM2", "type 2 diabetes mellitus", "adult-onset diabetes"),
            ("metformin", "empagliflozin", "semaglutide"),
            True,
            6.0,
            ("diet-controlled",),
        ),
        (
            "E16.2",
            ("hypoglycemia", "low blood sugar", "hypoglycaemia", "glucose crash"),
            ("dextrose", "glucagon"),
            False,
            0.3,
            (),
        ),
        (
            "E03.9",
            ("hypothyroidism", "underactive thyroid", "thyroid insufficiency"),
            ("levothyroxine",),
            True,
            3.0,
            (),
        ),
        (
            "E05.90",
            ("hyperthyroidism", "thyrotoxicosis", "overactive thyroid", "thyroid excess"),
            ("methimazole", "propranolol"),
            False,
            0.3,
            (),
        ),
        (
            "E78.5",
            ("hyperlipidemia", "HLD", "dyslipidemia", "hyperlipidaemia", "raised blood lipids"),
            ("atorvastatin", "rosuvastatin", "ezetimibe"),
            True,
            5.0,
            (),
        ),
        (
            "E27.40",
            ("adrenal insufficiency", "adrenocortical insufficiency", "hypoadrenalism"),
            ("hydrocortisone", "fludrocortisone"),
            True,
            0.3,
            (),
        ),
        (
            "E24.9",
            ("Cushing's syndrome", "Cushing syndrome", "hypercortisolism", "cortisol excess"),
            ("ketoconazole",),
            True,
            0.1,
            (),
        ),
        (
            "E21.3",
            ("hyperparathyroidism", "overactive parathyroids", "parathormone excess"),
            ("cinacalcet",),
            True,
            0.2,
            (),
        ),
    )
)

INFECTIOUS_DISEASE = tuple(
    Condition(code, "infectious disease", names, drugs, chronic, prevalence, qualifiers)
    for code, names, drugs, chronic, prevalence, qualifiers in (
        (
            "A41.9",
            ("sepsis", "septicemia", "bloodstream infection with sepsis", "septic illness"),
            ("piperacillin-tazobactam", "vancomycin", "meropenem"),
            False,
            0.3,
            (),
        ),
        (
            "N39.0",
            ("urinary tract infection", "UTI", "bladder infection", "infected urine"),
            ("ceftriaxone", "nitrofurantoin", "ciprofloxacin"),
            False,
            0.8,
            (),
        ),
        (
            "L03.90",
            ("cellulitis", "spreading skin infection", "soft-tissue infection"),
            ("cefazolin", "vancomycin", "cephalexin"),
            False,
            0.4,
            ("non-purulent",),
        ),
        (
            "U07.1",
            ("COVID-19", "COVID", "SARS-CoV-2 infection", "coronavirus infection"),
            ("remdesivir", "dexamethasone"),
            False,
            0.3,
            (),
        ),
        (
            "A04.72",
            ("C. difficile colitis", "C diff", "CDI", "clostridial colitis"),
            ("vancomycin", "fidaxomicin"),
            False,
            0.1,
            (),
        ),
        (
            "J10.1",
            ("influenza A", "influenza", "flu", "the grippe"),
            ("oseltamivir",),
            False,
            0.2,
            (),
        ),
        (
            "B20",
            ("HIV disease", "AIDS", "advanced HIV"),
            ("bictegravir", "dolutegravir"),
            True,
            0.4,
            (),
        ),
        (
            "G00.9",
            ("bacterial meningitis", "purulent meningitis", "infected meninges"),
            ("ceftriaxone", "dexamethasone"),
            False,
            0.05,
            (),
        ),
        (
            "I33.0",
            ("infective endocarditis", "bacterial endocarditis", "infected heart valve"),
            ("gentamicin", "nafcillin"),
            False,
            0.1,
            (),
        ),
        (
            "M86.9",
            ("osteomyelitis", "bone infection", "infected bone"),
            ("cefazolin", "daptomycin"),
            False,
            0.2,
            (),
        ),
        (
            "B02.9",
            ("shingles", "herpes zoster", "zoster"),
            ("valacyclovir",),
            False,
            0.2,
            (),
        ),
        (
            "A15.0",
            ("pulmonary tuberculosis", "TB of the lung", "lung tuberculosis"),
            ("isoniazid", "rifampin"),
            False,
            0.05,
            ("smear-positive",),
        ),
    )
)

ONCOLOGY = tuple(
    Condition(code, "oncology", names, drugs, chronic, prevalence, qualifiers)
    for code, names, drugs, chronic, prevalence, qualifiers in (
        (
            "C34.90",
            ("lung cancer", "NSCLC", "carcinoma of the lung", "bronchogenic carcinoma"),
            ("pembrolizumab", "carboplatin", "osimertinib"),
            True,
            0.3,
            _STAGES,
        ),
        (
            "C18.9",
            ("colon cancer", "colonic adenocarcinoma", "carcinoma of the large bowel"),
            ("oxaliplatin", "fluorouracil"),
            True,
            0.3,
            _STAGES,
        ),
        (
            "C50.919",
            ("breast cancer", "mammary carcinoma", "ductal carcinoma of the breast"),
            ("tamoxifen", "trastuzumab", "paclitaxel"),
            True,
            0.4,
            _STAGES,
        ),
        (
            "C67.9",
            ("bladder cancer", "urothelial carcinoma of the bladder", "bladder carcinoma"),
            ("gemcitabine", "pembrolizumab"),
            True,
            0.4,
            _STAGES,
        ),
        (
            "C90.00",
            ("multiple myeloma", "plasma cell myeloma", "myeloma"),
            ("bortezomib", "lenalidomide"),
            True,
            0.2,
            ("newly diagnosed", "IgG kappa"),
        ),
        (
            "C25.9",
            ("pancreatic cancer", "carcinoma of the pancreas", "pancreatic adenocarcinoma"),
            ("gemcitabine",),
            True,
            0.1,
            _STAGES,
        ),
        (
            "C92.00",
            ("acute myeloid leukemia", "AML", "myeloblastic leukaemia"),
            ("cytarabine", "daunorubicin"),
            True,
            0.1,
            ("newly diagnosed",),
        ),
        (
            "C22.0",
            ("hepatocellular carcinoma", "HCC", "hepatoma", "primary liver cell cancer"),
            ("sorafenib", "atezolizumab"),
            True,
            0.1,
            _STAGES,
        ),
        (
            "C64.9",
            ("renal cell carcinoma", "RCC", "kidney cancer", "hypernephroma"),
            ("sunitinib", "nivolumab"),
            True,
            0.1,
            _STAGES,
        ),
        (
            "C81.90",
            ("Hodgkin lymphoma", "Hodgkin's disease"),
            ("doxorubicin", "brentuximab"),
            True,
            0.1,
            _RELAPSED,
        ),
        (
            "C71.9",
            ("glioblastoma", "malignant brain tumour", "GBM"),
            ("temozolomide", "dexamethasone"),
            True,
            0.05,
            _RELAPSED,
        ),
    )
)
