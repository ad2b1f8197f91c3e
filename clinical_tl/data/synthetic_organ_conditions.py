"""Conditions of heart, lung, gut and kidney; within a specialty the commonest come first."""

from __future__ import annotations

from clinical_tl.data.synthetic_records import Condition

_NYHA = ("NYHA class II", "NYHA class III", "NYHA class IV")
_SIDES = ("left", "right", "bilateral")

CARDIOLOGY = tuple(
    Condition(code, "cardiology", names, drugs, chronic, prevalence, qualifiers)
    for code, names, drugs, chronic, prevalence, qualifiers in (
        (
            "I50.9",
            (
                *(
                    "congestive heart failure",
                    "CHF",
                    "heart failure",
                    "decompensated heart failure",
                ),
                *("cardiac decompensation", "pump failure", "volume overload from a failing heart"),
            ),
            ("furosemide", "carvedilol", "spironolactone", "lisinopril"),
            True,
            2.0,
            _NYHA,
        ),
        (
            "I48.91",
            ("atrial fibrillation", "AF", "afib", "a-fib", "fibrillating atria"),
            ("apixaban", "metoprolol", "warfarin", "diltiazem"),
            True,
            4.0,
            ("rate-controlled", "non-valvular"),
        ),
        (
            "I21.4",
            (
                *("NSTEMI", "non-ST elevation myocardial infarction", "non-Q wave infarct"),
                *("heart attack without ST elevation", "subendocardial infarction"),
            ),
            ("aspirin", "heparin", "atorvastatin", "clopidogrel"),
            False,
            0.2,
            (),
        ),
        (
            "I25.10",
            (
                *("coronary artery disease", "CAD", "coronary atherosclerosis"),
                *("coronary heart disease", "narrowed coronary arteries"),
            ),
            ("aspirin", "atorvastatin", "metoprolol"),
            True,
            5.0,
            ("three-vessel", "single-vessel"),
        ),
        (
            "I10",
            (
                "hypertension",
                "HTN",
                "high blood pressure",
                "arterial hypertension",
                "essential HTN",
            ),
            ("lisinopril", "amlodipine", "hydrochlorothiazide", "losartan"),
            True,
            8.0,
            ("long-standing",),
        ),
        (
            "I35.0",
            (
                *("aortic stenosis", "aortic valve stenosis", "narrowing of the aortic valve"),
                *("calcific aortic valve obstruction", "tight aortic valve"),
            ),
            ("metoprolol", "furosemide"),
            True,
            1.0,
            ("severe", "moderate"),
        ),
        (
            "I47.10",
            ("supraventricular tachycardia", "SVT", "PSVT", "narrow-complex tachyarrhythmia"),
            ("adenosine", "metoprolol", "diltiazem"),
            False,
            0.3,
            (),
        ),
        (
            "I30.9",
            ("acute pericarditis", "pericarditis", "inflamed pericardium"),
            ("colchicine", "ibuprofen"),
            False,
            0.1,
            (),
        ),
        (
            "I42.0",
            ("dilated cardiomyopathy", "DCM", "globally dilated weak ventricle"),
            ("carvedilol", "sacubitril-valsartan"),
            True,
            0.5,
            _NYHA,
        ),
    )
)

PULMONOLOGY = tuple(
    Condition(code, "pulmonology", names, drugs, chronic, prevalence, qualifiers)
    for code, names, drugs, chronic, prevalence, qualifiers in (
        (
            "J18.9",
            ("pneumonia", "PNA", "community-acquired pneumonia", "lung infection", "CAP"),
            ("ceftriaxone", "azithromycin", "levofloxacin"),
            False,
            0.4,
            ("multifocal", "right lower lobe", "left lower lobe"),
        ),
        (
            "J44.1",
            (
                *("COPD exacerbation", "AECOPD", "acute exacerbation of COPD"),
                *("flare of chronic obstructive lung disease", "acutely worsened COPD"),
            ),
            ("prednisone", "ipratropium", "azithromycin"),
            False,
            0.2,
            (),
        ),
        (
            "J44.9",
            ("COPD", "chronic obstructive pulmonary disease", "chronic airflow obstruction"),
            ("tiotropium", "salbutamol"),
            True,
            4.0,
            ("oxygen-dependent", "GOLD stage 3"),
        ),
        (
            "J45.901",
            ("asthma exacerbation", "asthma attack", "asthma flare", "acute asthma"),
            ("salbutamol", "prednisone", "montelukast"),
            False,
            0.2,
            (),
        ),
        (
            "I26.99",
            ("pulmonary embolism", "PE", "clot in the lung", "pulmonary thromboembolism"),
            ("heparin", "rivaroxaban", "apixaban"),
            False,
            0.2,
            ("segmental", "submassive"),
        ),
        (
            "J90",
            ("pleural effusion", "fluid around the lung", "pleural fluid collection"),
            ("furosemide",),
            False,
            0.5,
            _SIDES,
        ),
        (
            "G47.33",
            ("obstructive sleep apnea", "OSA", "obstructive sleep apnoea"),
            ("modafinil",),
            True,
            2.5,
            ("severe", "CPAP-treated"),
        ),
        (
            "J93.9",
            ("pneumothorax", "PTX", "collapsed lung", "air in the pleural space"),
            ("morphine",),
            False,
            0.1,
            _SIDES,
        ),
        (
            "J84.10",
            ("pulmonary fibrosis", "lung scarring", "fibrotic lung disease"),
            ("nintedanib", "pirfenidone"),
            True,
            0.4,
            (),
        ),
        (
            "J47.9",
            ("bronchiectasis", "widened scarred airways"),
            ("azithromycin", "hypertonic saline"),
            True,
            0.4,
            (),
        ),
    )
)

GASTROENTEROLOGY = tuple(
    Condition(code, "gastroenterology", names, drugs, chronic, prevalence, qualifiers)
    for code, names, drugs, chronic, prevalence, qualifiers in (
        (
            "K92.2",
            ("gastrointestinal bleeding", "GI bleed", "GIB", "gut haemorrhage", "bleeding bowel"),
            ("pantoprazole", "octreotide"),
            False,
            0.2,
            ("brisk",),
        ),
        (
            "K85.90",
            ("acute pancreatitis", "pancreatitis", "inflamed pancreas", "pancreatic inflammation"),
            ("morphine", "lactated Ringer's"),
            False,
            0.1,
            (),
        ),
        (
            "K21.9",
            ("GERD", "gastroesophageal reflux disease", "acid reflux", "reflux disease", "GORD"),
            ("omeprazole", "famotidine", "pantoprazole"),
            True,
            4.0,
            (),
        ),
        (
            "K74.60",
            ("cirrhosis", "liver cirrhosis", "cirrhotic liver disease", "scarred liver"),
            ("spironolactone", "lactulose", "propranolol"),
            True,
            1.0,
            ("Child-Pugh B", "Child-Pugh C", "decompensated"),
        ),
        (
            "K56.609",
            ("bowel obstruction", "intestinal obstruction", "blocked intestine"),
            ("ondansetron",),
            False,
            0.1,
            (),
        ),
        (
            "K57.92",
            ("diverticulitis", "acute diverticulitis", "inflamed diverticula"),
            ("metronidazole", "ciprofloxacin"),
            False,
            0.1,
            (),
        ),
        (
            "K51.90",
            ("ulcerative colitis", "UC", "colitis ulcerosa"),
            ("mesalamine", "infliximab"),
            True,
            0.5,
            ("steroid-dependent",),
        ),
        (
            "K50.90",
            ("Crohn's disease", "Crohn disease", "regional enteritis"),
            ("azathioprine", "adalimumab"),
            True,
            0.5,
            ("fistula-free",),
        ),
        (
            "K80.20",
            ("gallstones", "cholelithiasis", "stones in the gallbladder"),
            ("ursodiol", "ketorolac"),
            False,
            0.6,
            ("multiple",),
        ),
        (
            "K25.9",
            ("gastric ulcer", "stomach ulcer"),
            ("omeprazole", "sucralfate"),
            False,
            0.3,
            (),
        ),
    )
)

NEPHROLOGY = tuple(
    Condition(code, "nephrology", names, drugs, chronic, prevalence, qualifiers)
    for code, names, drugs, chronic, prevalence, qualifiers in (
        (
            "N17.9",
            (
                *("acute kidney injury", "AKI", "acute renal failure", "ARF"),
                *("sudden loss of kidney function",),
            ),
            ("normal saline", "bumetanide"),
            False,
            0.6,
            ("prerenal", "non-oliguric"),
        ),
        (
            "N18.6",
            ("ESRD", "end-stage renal disease", "ESKD", "terminal kidney failure"),
            ("sevelamer", "epoetin alfa"),
            True,
            0.6,
            ("dialysis-dependent",),
        ),
        (
            "N18.30",
            ("stage 3 chronic kidney disease", "CKD 3", "CKD stage 3", "stage III CKD"),
            ("sodium bicarbonate", "calcitriol"),
            True,
            3.5,
            (),
        ),
        (
            "E87.5",
            ("hyperkalemia", "high potassium", "hyperkalaemia", "potassium excess"),
            ("calcium gluconate", "patiromer"),
            False,
            0.4,
            (),
        ),
        (
            "E87.1",
            ("hyponatremia", "low sodium", "hyponatraemia", "sodium deficit"),
            ("hypertonic saline", "tolvaptan"),
            False,
            0.5,
            (),
        ),
        (
            "N20.0",
            ("nephrolithiasis", "kidney stone", "renal calculus", "stone in the kidney"),
            ("tamsulosin", "ketorolac"),
            False,
            0.4,
            _SIDES[:2],
        ),
        (
            "N04.9",
            ("nephrotic syndrome", "nephrosis", "protein-losing kidney syndrome"),
            ("prednisone", "cyclosporine"),
            False,
            0.1,
            (),
        ),
        (
            "N05.9",
            ("glomerulonephritis", "nephritic syndrome", "inflamed glomeruli"),
            ("methylprednisolone", "cyclophosphamide"),
            False,
            0.1,
            (),
        ),
        (
            "N13.30",
            ("hydronephrosis", "dilated renal pelvis"),
            ("tamsulosin",),
            False,
            0.2,
            _SIDES,
        ),
    )
)
