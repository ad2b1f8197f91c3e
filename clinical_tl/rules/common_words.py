"""English words that everybody's notes are full of; as a name of a concept they mark noise."""

from __future__ import annotations

# Function words, and everyday words that terminologies list as names or acronyms of disorders.
_WORDS = """
    a about above after again against all almost also although always am among an and another any
    are as at back be became because become been before behind being below beside besides best
    better between beyond big both but by call can cannot case cases class clear come common could
    day days did do does done down due during each early eight either eleven else end enough even
    ever every except face far fast feel few fifth find first five for found four fourth from full
    further get give go good group half had hand has have he hence her here hers herself high him
    himself his how however hundred if in indeed into is it its itself just keep kind last late
    later least left less life like line little long look low made main make man many may me mean
    men met might mild mine moderate more moreover most move much must my myself name near need
    neither never new next night nine no nobody none nor not nothing now number of off often old on
    once one only onto open or other others otherwise our ours out over own part past patient
    patients per perhaps place please point positive negative present put quite rather real really
    right role said same second see seem seen set seven several severe she short should show side
    since single six small so some something sometimes soon still stop such system take ten test
    than that the their theirs them then there these they thing third this those though three
    through thus to together too top total toward true turn twelve twenty two type under unit until
    up upon us use used various very via was way we week weeks well were what when where whether
    which while white who whole whom whose why will with within without woman women word work would
    year years yet you young your yours
    air aim aims arm art ask bad bar bed bite cat cold control crack dim drug drop fall falls fat
    fit fits flat gas heat hit hot ice impact iris large light map march mass mole pet pit plan
    pop post rage red rest sad sand seal sign signs spots tag tan tense tip touch trap
    water wind
"""
COMMON_WORDS = frozenset(_WORDS.split())
