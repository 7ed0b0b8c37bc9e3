"""The word lists of the offline stand-in, and nothing else."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """A set from words with spaces between."""
    return frozenset(text.split())


# -- grammar -----------------------------------------------------------------------------

# Words that carry no content of their own: support and overlap are counted without them.
STOP = words(
    """a about above after again against all also although always am among an and another any are around as
    at be because been before being below between both but by can cannot could did do does doing done down
    during each either else etc every few for from further had has have having he her here hers him his how
    however i if in into is it its itself just least less like made make makes many may me might more most
    much must my near neither never no nor not now of off often on once one only onto or other our out over
    own per same she should since so some such than that the their them then there therefore these they
    thing this those through thus to too toward under until up upon us very via was we were what when where
    whether which while who whom whose why will with within without would yes yet you your"""
)
# Words of a question that name nothing.
ASKING = words("happen know mean say thing work")
BE = words("is are was were")
# How adjectives and participles end.
ADJECTIVES = tuple(sorted(words("ed en ble al ive ous ful ary ent ant ic built found held kept made")))
MODALS = words("can could may might must shall should will would cannot")
PREPOSITIONS = words("about against as at by during for from in into of on through to under upon with")
ADVERBS = words("still often always also now never then sometimes")
NUMBERS = words("two three four five six seven eight nine ten eleven twelve")
PERSONS = words(
    """chaplain chaplains people person persons staff soldier soldiers leader leaders man men woman women
    child children captain king queen family families crew crews team teams farmer farmers"""
)

# Verbs that are seldom nouns, so that the first of them ends the subject of a sentence.
VERBS = words(
    """accomplish achieve adapt address advise affect allow analyze apply approve arise arrive assess
    assist assume become begin belong bring build carry collect communicate comprise conduct confirm
    consider consist consolidate consume contain contend continue contribute coordinate create deliver
    demonstrate depend depict describe determine develop differ discover discuss distribute drink eat
    employ enable encourage enforce enhance ensure enter establish evaluate execute exist explain
    express extend facilitate fall follow gain get give govern grow help hold identify implement improve
    include incorporate increase indicate inform integrate invent involve keep know learn lie maintain
    mitigate need nest obtain occur offer operate oversee owe participate perform permit possess prepare
    prescribe prevent produce promote protect provide publish receive recognize reduce refine reflect
    rely remain remove represent require resolve retain rise seek select serve speak specify supervise
    synchronize synthesize take teach tell tend understand validate vary visualize write"""
)
# Of these no "What does … ?" can be asked unless a preposition follows.
INTRANSITIVE = words(
    """arise arrive become begin belong communicate consist continue contribute depend differ exist fall grow
    help lie occur operate participate rely remain rise serve speak tend vary"""
)
# A sentence that begins so leans on the one before it, or has its subject late.
LEANING = words(
    """accordingly additionally after all also although and another appendix as at based because before
    both but by chapter consequently conversely despite during each either except figure finally first
    for from furthermore given he hence her here him his how however i if in including instead it its
    likewise meanwhile moreover my nevertheless next nonetheless not note on once one or other others
    otherwise our over refer second secondly see she similarly since so some still such table that their
    then there therefore these they third this those though three through thus to together two under
    unless until upon using we what when where whereas whether which while who with within without yet
    you your"""
)
SUBJECT_STOPS = words("that which who whom whose when where if while because as to whether than by not")

# -- names of fields ---------------------------------------------------------------------

PASSAGES = ("text", "passage", "document", "content", "context", "page", "body")
SOURCES = ("sources", "passages", "documents", "contexts", "chunks", "facts")
WISHES = words(
    "policy manner style audience domain tone how instructions"
)  # what is wanted, not what it is about
USED = words("used cited citations")
FAULTS = words("missing added contradicted invented errors faults issues problems gaps removed")
TURNS = ("turns", "pairs", "qa", "questions", "exchanges")
COUNTS = ("count", "number", "how_many", "wanted", "exchanges", "n")
QUESTIONS = words("question query instruction prompt q")
ANSWERS = words("answer response reply completion output chosen a")
CLAIMS = (*sorted(ANSWERS), "claim", "statement", "summary", "fact")
WHYS = words("why reason reasons reasoning rationale explanation justification notes feedback")
THOUGHTS = words("thinking thought thoughts")
SUMMARIES = words("summary abstract overview gist")
TITLES = words("title heading headline topic subject")
TERMS = words("term terms keyword keywords tag tags topics features traits entities name names")
LABELS = words("label class category kind genre")
VERSES = words("poem verse verses lyrics song")
REWRITES = words(
    """article dialogue essay generic original paraphrase plain rendering restatement restated rewrite
    rewritten story variation version"""
)
REPAIRED = words("cleaned repaired")
WRONG = words("rejected distractor wrong_answer incorrect")
NEGATIVE = words(
    """bad broken contradicts drop duplicate harmful refuse reject rejected skip spam toxic unsafe unsupported
    wrong"""
)
YES = words("accept accepted correct good keep kept ok pass passed relevant supported true valid worthy yes")
NO = words(
    """bad drop dropped fail failed false incorrect invalid irrelevant no reject rejected unsupported wrong"""
)

# -- what is written on purpose ------------------------------------------------------------

# Added to an answer now and then: no passage says it, so it is rejected in plain sight.
INVENTED = (
    "A Norwegian zoologist first proposed this during the Renaissance, and astronomers celebrated it.",
    "Wealthy merchants later painted the same idea on porcelain teapots throughout Antarctica.",
    "Violinists and gardeners nowadays quarrel over its forgotten melody every Thursday evening.",
)
VAGUE = ("What does it mean?", "Why is that so?", "How does this work?", "What are they for?")
LEADS = ("", "Thank you. ", "I see. ", "One more question. ", "That helps. ")
