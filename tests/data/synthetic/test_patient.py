import random
from dataclasses import replace

from clinical_tl.data.synthetic.patient import sample_patient, sample_stay
from clinical_tl.data.synthetic.word_bank import word_bank


def test_a_specialty_with_one_condition_is_passed_over_where_the_patient_has_it():
    bank = word_bank()
    only = bank.conditions[0]._replace(specialty="surgery", prevalence=1e6)
    specialties = {
        "surgery": bank.specialties["cardiology"]._replace(weight=4.0),
        "oncology": bank.specialties["oncology"],
    }
    rest = bank.by_specialty["oncology"]
    small = replace(bank, conditions=(only, *rest), specialties=specialties)
    rng = random.Random(0)
    principals = {}
    for number in range(60):
        patient = sample_patient(small, number, rng)
        has_it = any(c.category == only.category for c in (*patient.comorbidities, *patient.family))
        principals.setdefault(has_it, set()).add(sample_stay(small, patient, rng).principal)
    assert only in principals[False]
    assert only not in principals[True] <= set(rest)
