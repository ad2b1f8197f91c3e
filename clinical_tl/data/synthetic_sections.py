"""Sections and sentences of the synthetic notes.

Braces hold slots. Mentions: `{problem}`, `{other}` (a second problem), `{drug}`, `{dose}`,
`{symptom}`, `{symptom2}`, `{procedure}`. Plain words: `{patient}`, `{he}`, `{his}`,
`{patient_kind}`, `{relative}`, `{ago}`, `{freq}`, `{duration}`, `{day}` and numbers. Every
sentence has at most `MAX_SENTENCE_WORDS` words when filled. What sets a note's main problem
apart from its distractors is the wording around it, so no principal sentence shares its frame
with another bank's.
"""

from __future__ import annotations

MAX_SENTENCE_WORDS = 30

# Kind of note → (section, its headings) in the order they are written.
SECTIONS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "discharge summary": (
        ("reason", ("Reason for admission", "Diagnosis", "CC", "Summary")),
        ("story", ("History of present illness", "HPI", "Present illness")),
        ("past", ("Past medical history", "PMH", "Background")),
        ("family", ("Family history", "FH", "FHx")),
        ("social", ("Social history", "SH")),
        ("drugs", ("Medications", "Meds on admission", "Home medications")),
        ("exam", ("Physical examination", "Exam", "PE")),
        ("results", ("Results", "Labs and imaging", "Investigations")),
        ("course", ("Hospital course", "Course", "Brief hospital course")),
        ("plan", ("Plan at discharge", "Disposition", "Follow-up")),
    ),
    "progress note": (
        ("reason", ("Summary", "One-liner", "ID")),
        ("story", ("Subjective", "S", "Interval events")),
        ("past", ("Background", "PMH")),
        ("family", ("Family history", "FH")),
        ("drugs", ("Current medications", "Meds")),
        ("exam", ("Objective", "O", "Exam")),
        ("results", ("Data", "Labs", "Results")),
        ("course", ("Assessment", "A", "Impression")),
        ("plan", ("Plan", "P")),
    ),
}

# The one sentence that names the main problem; the first section of the note.
PRINCIPAL_SENTENCES = (
    "Admitted for {problem}.",
    "{patient} is being treated primarily for {problem}.",
    "Reason for this admission: {problem}.",
    "Principal diagnosis: {problem}.",
    "This stay is for {problem}.",
    "Brought in by ambulance because of {problem}.",
    "The main issue this admission is {problem}.",
    "Here for management of {problem}.",
    "What led to this admission was {problem}.",
    "{patient_kind} who now comes in with {problem}.",
    "{patient_kind} admitted for {problem}.",
    "Came in with {symptom} for {duration}, found to have {problem}.",
    "Work-up of new {symptom} in the emergency room revealed {problem}.",
    "Primary problem: {problem}, on {drug} {dose} {freq}.",
    "Transferred to our service for {problem}.",
    "Hospital day {day} for {problem}.",
    "Chief problem - {problem}.",
    "We are looking after {patient} because of {problem}.",
    "Now hospitalized with {problem}.",
)

# The main problem again, further down; worded so that it could be any active problem.
MAIN_PROBLEM_SENTENCES = (
    "{problem} is responding to {drug} {dose} {freq}.",
    "For {problem} we gave {drug} {dose}.",
    "{problem}: {drug} {dose} {freq}, continue.",
    "Treated with {drug} {dose} {freq} for {problem}.",
    "{problem} improved over the following days.",
    "{procedure} was done for {problem}.",
    "# {problem} - on {drug}.",
)

COMORBIDITY_SENTENCES = (
    "Also has {problem}, stable on {drug} {dose} {freq}.",
    "Takes {drug} {dose} {freq} for {problem}.",
    "{problem}: {drug} {dose} {freq}, continue.",
    "For {problem} we gave {drug} {dose}.",
    "Comorbid {problem}, unchanged.",
    "Lives with {problem}.",
    "Secondary diagnosis: {problem}.",
    "Background of {problem}, followed in clinic.",
    "Other active problem: {problem}.",
    "{problem} - home {drug} resumed at {dose}.",
    "# {problem} - on {drug}.",
    "{patient} also has {problem} and {other}.",
    "Known {problem}, on {drug} {dose}.",
)

HISTORICAL_SENTENCES = (
    "History of {problem} {ago}, resolved.",
    "Had {problem} {ago}, since resolved.",
    "Was admitted for {problem} {ago} and recovered fully.",
    "Previously treated for {problem}, not active now.",
    "Remote {problem}, no longer an issue.",
    "An earlier admission {ago} was for {problem}.",
    "Came in with {problem} {ago}; that episode has settled.",
    "Was on {drug} {dose} for {problem} {ago}, stopped since.",
    "S/p {problem} {ago}.",
    "{problem} {ago}, fully treated.",
    "Old records mention {problem} {ago}.",
    "Prior {problem} and {other}, both resolved.",
)

NEGATED_SENTENCES = (
    "No evidence of {problem}.",
    "{problem} was ruled out.",
    "{procedure} was negative for {problem}.",
    "{procedure} showed no {problem}.",
    "No signs of {problem} or {other}.",
    "Never had {problem}.",
    "Work-up excluded {problem}.",
    "Was first thought to have {problem}, which {procedure} excluded.",
    "Referred in for {problem}, but this was not confirmed.",
    "Not consistent with {problem}.",
    "Denies {problem}.",
    "No {problem}, no {other}.",
    "Picture is not that of {problem}.",
)

FAMILY_SENTENCES = (
    "{relative} had {problem}.",
    "{relative} was admitted for {problem} {ago}.",
    "{relative} with {problem}.",
    "Family history of {problem} in {his} {relative}.",
    "{relative} is being treated for {problem}.",
    "{problem} in {his} {relative}.",
    "{relative} died of complications of {problem}.",
    "{relative} takes {drug} for {problem}.",
)

POSSIBLE_SENTENCES = (
    "Possible {problem}, to be clarified as an outpatient.",
    "Cannot exclude {problem}.",
    "Question of {problem}; {procedure} pending.",
    "{problem} is in the differential.",
    "Findings may represent {problem}.",
    "Query {problem}.",
    "{procedure} ordered to look for {problem}.",
    "Would consider {problem} if this recurs.",
)

SYMPTOM_SENTENCES = (
    "Reports {symptom} for {duration}.",
    "{symptom} for {duration}, no clear trigger.",
    "Complains of {symptom} and {symptom2}.",
    "{he} noticed {symptom} at home.",
    "+ {symptom}, + {symptom2}.",
    "Ongoing {symptom}, worse at night.",
)

NEGATED_SYMPTOM_SENTENCES = (
    "Denies {symptom} and {symptom2}.",
    "No {symptom}.",
    "No {symptom} or {symptom2} overnight.",
    "{he} has not had {symptom}.",
    "ROS negative for {symptom}.",
)

PROCEDURE_SENTENCES = (
    "Underwent {procedure} on hospital day {day} without complications.",
    "{procedure} was performed.",
    "{procedure} done, result unremarkable.",
    "Awaiting {procedure}.",
    "S/p {procedure}, tolerated well.",
)

DRUG_SENTENCES = (
    "{drug} {dose} {freq}.",
    "- {drug} {dose} {freq}",
    "{drug} {dose}, {freq}.",
    "Continues {drug} {dose} {freq}.",
    "{drug} was increased to {dose} {freq}.",
    "Started on {drug} {dose} {freq}.",
    "{drug} held.",
)

# Section → sentences that say nothing about diagnoses; each at most once a note.
FILLER: dict[str, tuple[str, ...]] = {
    "story": (
        "{patient} slept {well}.",
        "No acute events overnight.",
        "Tolerating a {diet} diet.",
        "{he} was able to give a clear account.",
        "History partly obtained from {his} {relative}.",
        "{he} had been managing at home until {duration} before arrival.",
    ),
    "past": (
        "Vaccinations up to date.",
        "Allergies: none known.",
        "No previous operations.",
        "Sees the family doctor twice a year.",
    ),
    "family": (
        "Otherwise non-contributory.",
        "{relative} alive and well.",
        "{he} has {small} siblings, all healthy.",
    ),
    "social": (
        "Lives with {his} {relative}.",
        "Never smoked.",
        "Drinks alcohol rarely.",
        "Works as a {job}.",
        "Independent in daily activities.",
        "Uses a walking stick outdoors.",
    ),
    "drugs": (
        "Medication list confirmed with the pharmacy.",
        "{he} manages {his} own pill box.",
        "No changes to the other tablets.",
    ),
    "exam": (
        "BP {bp}, HR {hr}, temp {temp}, O2 sat {sat}% on room air.",
        "Alert, in no distress.",
        "Mucous membranes {moisture}.",
        "Abdomen soft, bowel sounds present.",
        "Skin warm and dry.",
        "Moves all four limbs.",
        "Pupils equal and reactive.",
        "Gait steady.",
        "Weight {weight} kg.",
    ),
    "results": (
        "WBC {wbc}, Hgb {hgb}, platelets {plt}.",
        "Na {na}, K {k}, creatinine {cr}, glucose {glu}.",
        "Lactate {cr}, CRP {crp}.",
        "Cultures sent, nothing so far.",
        "Imaging reviewed with radiology.",
    ),
    "course": (
        "Nursing noted no concerns.",
        "Social work met with {his} {relative}.",
        "{he} was moved to a quieter room.",
        "Electrolytes replaced per protocol.",
        "Lines removed on day {day}.",
    ),
    "plan": (
        "Follow-up in clinic in {small} weeks.",
        "Discharged home with {his} {relative}.",
        "Continue current management.",
        "Repeat labs in {small} days.",
        "Encourage mobilisation.",
        "Return if symptoms worsen.",
        "Full code.",
        "Discussed with {patient}, who agrees.",
        "Home nursing {small} times a week.",
    ),
}

# Section → sentences of a long stay, which may come again with other days and numbers.
DAILY: dict[str, tuple[str, ...]] = {
    "exam": (
        "Day {day} vitals: T {temp}, HR {hr}, BP {bp}, RR {rr}.",
        "Day {day}: weight {weight} kg, intake {volume} mL, output {volume} mL.",
        "On day {day} alert, O2 sat {sat}%, mucous membranes {moisture}.",
    ),
    "results": (
        "Day {day}: WBC {wbc}, Hgb {hgb}, platelets {plt}.",
        "Day {day}: Na {na}, K {k}, creatinine {cr}, glucose {glu}, magnesium {mg}.",
        "CRP {crp} on day {day}, from {crp}.",
        "Hgb {hgb} on day {day}, no transfusion.",
    ),
    "course": (
        "On hospital day {day} {he} was doing {well} and ate about half of the {diet} meals.",
        "Physiotherapy saw {patient} on day {day}; walked {small} laps with {helper}.",
        "By hospital day {day} HR was {hr} and BP {bp}.",
        "Diet advanced to {diet} on hospital day {day}.",
        "Temperature peaked at {temp} on day {day}.",
        "On day {day} discussed with {his} {relative} at the bedside.",
        "Day {day}: slept {well}, pain {small} out of 10 at rest, {diet} diet.",
        "Overnight into day {day} HR up to {hr}, settled without treatment.",
        "Seen by the on-call team on day {day}; BP {bp}, T {temp}, no change made.",
        "{his} {relative} visited on day {day} and had questions about the {diet} diet.",
    ),
}
