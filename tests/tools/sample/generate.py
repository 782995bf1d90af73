"""Make the bundled sample: a synthetic corpus in the form of imdb.npz, its word index and three review dumps.

    python -m tests.tools.sample.generate [FOLDER]      # default: data/sample

The reviews are drawn from the small grammar below with a fixed seed: nobody wrote them, and the films and
people in them do not exist. An accuracy on this corpus therefore says nothing about real reviews.
Every run gives the same content; only how zlib packs it may differ from one zlib to another.
"""

import argparse
import csv
import gzip
import io
import json
import pickle
import random
import re
import string
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SEED = 20_240_607
TRAIN_REVIEWS, TEST_REVIEWS = 2_000, 500
COLUMN_ROWS, DAMAGED_ROWS = 80, 120
SHORTEST, LONGEST = 30, 370  # words in a review, give or take its last sentences
FACTS_SHARE = 0.33  # of the sentences are facts, without an opinion
AGREEING = 0.87  # of the opinions agree with the label
AGREEING_VERDICTS = 0.95  # of the closing words do
RAREST = 3  # a word seen less often stays out of the index, as typing errors do

SAMPLE = Path(__file__).resolve().parents[3] / "data" / "sample"

# ---- vocabulary: the head of each list is drawn more often than its tail -----------------------------------

NEUTRAL = {
    "part": """acting|plot|story|script|dialogue|direction|music|ending|cast|pacing|camera work|photography|
        editing|opening|soundtrack|humour|scenery|villain|romance|final scene|first half|second half|
        narration|twist|premise|lighting|make-up|costume design|sound|middle part|finale|chase|prologue|
        flashback structure|choreography|character development|supporting cast|atmosphere|tone|voice-over|
        stunt work|epilogue|set design|subplot|title song|screenplay|rhythm|opening shot|last reel|tension|
        puppetry|animation""",
    "role": """detective|widow|teacher|sailor|painter|thief|nurse|soldier|baker|lawyer|priest|pianist|
        farmer|gardener|spy|journalist|engineer|butcher|magician|student|mayor|fisherman|translator|boxer|
        pilot|lighthouse keeper|clockmaker|governess|cartographer|beekeeper|blacksmith|astronomer|innkeeper|
        violinist|smuggler|taxidermist|archivist|ferryman|chess master|surgeon|trapeze artist|grave digger|
        postman|duchess""",
    "does": """follows|meets|marries|leaves|hires|betrays|rescues|forgets|finds|robs|visits|teaches|warns|
        helps|hides|chases|paints|blackmails|protects|confronts|questions|photographs|inherits|replaces|
        deceives|recognises|shelters|outwits|accuses|befriends|imitates|summons|pursues|defends|haunts|
        mistakes""",
    "thing": """letter|boat|house|key|map|photograph|suitcase|train|radio|garden|bridge|diary|violin|lamp|
        mirror|clock|coat|painting|telephone|ring|bicycle|lighthouse|piano|telegram|orchard|staircase|
        window|compass|harbour|carousel|locket|typewriter|umbrella|cellar|greenhouse|chandelier|windmill|
        manuscript|aquarium""",
    "genre": """drama|comedy|thriller|western|musical|horror film|love story|war film|crime story|
        road movie|documentary|fairy tale|mystery|adventure|ghost story|satire|melodrama|family film|
        science fiction film|spy story|farce|costume drama|heist film|fable|silent film|courtroom drama|
        period piece|parable""",
    "place": """a small town|the city|the mountains|the north|an old hotel|the desert|a village|the harbour|
        London|Lisbon|Malmö|Córdoba|the suburbs|a monastery|Zürich|an old mill|a factory|Québec|the valley|
        a school|Łódź|İstanbul|the marshes|a railway station|Bergen|a theatre|the archipelago|Århus|
        a vineyard|Trieste|the salt flats|a sanatorium|Évora|a circus tent|the fjords|Plzeň|a quarry|
        the tundra""",
    "event": """war|flood|wedding|fire|funeral|storm|trial|election|accident|harvest|strike|eclipse|
        earthquake|shipwreck|coronation|blackout|drought|auction|masquerade|avalanche|census""",
    "friend": """wife|husband|brother|sister|friends|mother|father|children|neighbour|aunt|roommate|
        grandmother|colleagues|cousin|uncle|nephew|daughter|son|godfather|stepsister|in-laws""",
    "when": """last night|last week|on television|at a festival|years ago|on a rainy Sunday|
        in a half empty cinema|on a plane|twice|with the sound too low|after work|in one sitting|on tape|
        by accident|over the holidays|at midnight|in a café|with subtitles|on an old projector|
        the day it came out""",
    "very": """very|really|so|quite|rather|truly|surprisingly|often|always|simply|just|almost|absolutely|
        mostly|a little|somewhat|remarkably|utterly|consistently|undeniably|strangely|genuinely|
        unusually""",
    "colour": """red|blue|glass|silent|broken|last|second|golden|winter|hidden|paper|burning|hollow|distant|
        green|crooked|velvet|midnight|iron|borrowed|sleeping|copper|northern|weightless|amber|unfinished""",
    "filler": """by the way|to be fair|for the record|as far as I know|in other words|at least|of course|
        if I remember correctly|as they say|I'd say|you'll see|let's be honest|I've been told|
        who's counting|– you guessed it –|and that's that|well|oh|that said|it must be said|'so to speak'|
        in a word|pardon my French""",
    "minutes": """90 minutes|100 minutes|two hours|10\u00a0minutes|20 minutes|three hours|80 minutes|
        half an hour|5\u00a0minutes|140 minutes|a couple of hours|75 minutes""",
    "first": """Anna|Martin|Clara|Victor|Helen|Oskar|Zoë|Thomas|Élodie|Frank|Søren|Julia|Renée|Paul|Åsa|
        Edith|José|Walter|Ines|Jonas|Petra|Émile|Lucas|Nora|Hugo|Ottilie|Ruben|Cecily|Anselm|Brigitta|
        Caspar|Dunja""",
    "nonsense": """mumblecorish|slapsticky|noirish|overplotted|whodunnitty|popcorny|talkfest|tearjerkery|
        soapopera-ish|jumpscary|plothole-ridden|zoom-happy|voiceover-heavy""",
}

# For each slot the words of a positive and of a negative sentence, in that order.
POLAR = {
    "adj": (
        """good|great|wonderful|excellent|funny|beautiful|clever|moving|brilliant|charming|strong|lovely|
        fresh|touching|gripping|warm|memorable|perfect|sharp|witty|superb|honest|exciting|elegant|subtle|
        delightful|inventive|fascinating|believable|graceful|heartfelt|stunning|rich|tender|thrilling|
        hilarious|magical|thoughtful|impressive|original|dazzling|masterful|captivating|radiant|luminous|
        exquisite|uplifting|unforgettable|enchanting|flawless|sublime|joyful""",
        """bad|boring|terrible|awful|dull|weak|stupid|predictable|poor|silly|flat|slow|lifeless|annoying|
        cheap|clumsy|empty|tired|wooden|painful|forgettable|pointless|ugly|messy|lazy|pretentious|
        ridiculous|shallow|confusing|tedious|dreadful|cold|stale|hollow|irritating|muddled|laughable|bland|
        horrible|unwatchable|grating|charmless|incoherent|soulless|amateurish|insipid|excruciating|witless|
        contrived|lacklustre|dismal|cringeworthy""",
    ),
    "verb": (
        "loved|enjoyed|liked|admired|adored|praised|cherished|appreciated|applauded|treasured|savoured",
        "hated|disliked|regretted|endured|despised|loathed|resented|detested|suffered through|pitied",
    ),
    "adverb": (
        """well|beautifully|perfectly|wonderfully|cleverly|brilliantly|carefully|lovingly|skilfully|
        gracefully|superbly|delicately|masterfully|tenderly|nimbly""",
        """badly|poorly|terribly|carelessly|awkwardly|lazily|horribly|clumsily|sloppily|dreadfully|stiffly|
        hastily|ineptly|cynically|drearily""",
    ),
    "noun": (
        "gem|joy|masterpiece|treat|triumph|delight|classic|pleasure|treasure|revelation|must-see|marvel",
        "mess|waste|disaster|disappointment|bore|failure|chore|joke|insult|dud|train wreck|travesty|cliché",
    ),
    "phrase": (
        """I would watch it again tomorrow|it stayed with me for days|I laughed until I cried|don't miss it|
        I couldn't look away|everyone clapped at the end|it deserves every prize|
        I've told everyone about it|the time flew by|it's worth every penny|I bought the disc the next day|
        bravo|it left me smiling|they don't make them like this any more|I was glued to my seat""",
        """I want my money back|I nearly fell asleep|half of the audience walked out|don't bother|
        I couldn't wait for it to end|I kept looking at my watch|it deserves to be forgotten|
        save your money|I've warned everyone about it|it's a waste of an evening|
        I gave the disc away the next day|yawn|it left me with a headache|they shouldn't have made it|
        I wish I had stayed at home""",
    ),
    "advice": (
        """see it|watch it soon|take your family|give it a chance|go and see it|buy a ticket|
        tell your friends""",
        """avoid it|skip it|stay away|watch something else|read a book instead|keep your ticket money|
        run""",
    ),
    "score": ("8|9|7|10", "3|2|4|1"),
    "stars": ("★★★★|★★★★★", "★|★★"),
}

# ---- grammar: {slot} draws a word, {anti_slot} one of the other polarity -----------------------------------

OPINIONS = (
    "the {part} is {very} {adj}",
    "the {part} was {adj} and {adj}",
    "I {verb} the {part}",
    "{name} is {very} {adj} as the {role}",
    "the {part} isn't {anti_adj} at all",
    "it's not {anti_adj}, it's {adj}",
    "although the {part} is {anti_adj}, the {part} is {adj}",
    "{phrase}",
    "what a {noun}",
    "the scene with the {thing} is {adverb} shot and {adverb} acted",
    "nobody could call the {part} {anti_adj}",
    "I expected something {anti_adj}, but the {part} turned out {adj}",
    "there's nothing {anti_adj} about the {part}",
    "{name}'s {part} is {adj}, {filler}, and the {part} isn't {anti_adj} either",
    "the critics {anti_verb} it, yet my {friend} and I {verb} it",
    "I can't say that I {anti_verb} the {part}",
    "{minutes} of {adj} {part}, {adverb} put together",
    "some people {anti_verb} the {part} (they're wrong), and it's still a {noun}",
    "far from {anti_adj}, the {part} is simply {adj}",
    "it's {nonsense}, but the {part} is {adj}",
)
FACTS = (
    "{title} is a {genre} about a {role} who {does} a {role} in {place}",
    "the story begins in {place}, {number} years after the {event}",
    "{name} plays the {role} and {name} plays the {role}",
    "I saw it {when} with my {friend}",
    "it was shot in {place} in {year}, {filler}",
    "the {role} {does} the {role} and finds a {thing}",
    "then a {thing} disappears and the {role} {does} everyone in {place}",
    "there's a {role}, a {role} and a {colour} {thing}",
    "it's {minutes} long",
    "I still don't know why the {role} {does} the {role}",
    "it doesn't say who owned the {thing} before the {event}",
    "{name} made {title} in {year} for {number} people and a {thing}",
    "my {friend} asked me about the {thing}, {filler}",
    "the {genre} of {year} had no {role} and no {thing}, but this one has a {colour} {thing}",
)
VERDICTS = (
    "all in all, it's {very} {adj}",
    "in the end I {verb} it",
    "{score} out of 10",
    "my advice is simple: {advice}",
    "{adj}, {adj}, {adj}",
    "{score}/10",
    "so it's a {noun}, not a {anti_noun}",
    "my verdict: {stars}",
)
ENDS = (".",) * 14 + ("!", "!", "...", "?!", " :-)", "; enough said.")
BREAKS = (" ",) * 16 + ("<br /><br />",) * 3 + ("\n", "  ")


def split_words(entries: str) -> tuple[str, ...]:
    """The entries of a list that is written with bars between them."""
    return tuple(re.sub(r"\s*\n\s*", "", entries).split("|"))


NEUTRAL_WORDS = {slot: split_words(entries) for slot, entries in NEUTRAL.items()}
SYLLABLES = split_words("bel|dor|van|mar|lin|tor|wes|hal|ker|sen|bro|fal|gar|quin|ros|tam|ul|vey|win|zan")
POLAR_WORDS = {slot: (split_words(good), split_words(bad)) for slot, (good, bad) in POLAR.items()}


@dataclass(frozen=True)
class Review:
    """A drawn review: its raw text and its label (1 positive, 0 negative)."""

    text: str
    label: int

    @property
    def sentiment(self) -> str:
        """The label in words."""
        return "positive" if self.label else "negative"


class Writer:
    """Draws reviews; the same seed draws the same reviews in the same order.

    What it draws from can be set otherwise by who derives from it.
    """

    neutral: dict[str, tuple[str, ...]] = NEUTRAL_WORDS
    polar: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = POLAR_WORDS
    opinions: tuple[str, ...] = OPINIONS
    facts: tuple[str, ...] = FACTS
    verdicts: tuple[str, ...] = VERDICTS
    shortest, longest = SHORTEST, LONGEST
    agreeing, agreeing_verdicts = AGREEING, AGREEING_VERDICTS

    def __init__(self, seed: int) -> None:
        # Only random() is used: its sequence is promised to stay the same in every Python version.
        self._random = random.Random(seed).random

    def below(self, limit: int) -> int:
        """A whole number from 0 to limit - 1."""
        return int(self._random() * limit)

    def chance(self, share: float) -> bool:
        """True in this share of the calls."""
        return self._random() < share

    def pick(self, entries: tuple[str, ...], steepness: int = 2) -> str:
        """An entry, the first ones more often: real words are no uniform draw either."""
        # The smallest of some uniform draws: unlike a power, it is the same number with every C library.
        return entries[int(min(self._random() for _ in range(steepness)) * len(entries))]

    def review(self, label: int, breaks: tuple[str, ...] = BREAKS) -> Review:
        """A review of some SHORTEST to LONGEST words that leans to its label, with doubts."""
        drawn = self._random()
        target = self.shortest + int((self.longest - self.shortest) * drawn * drawn * drawn)
        text, closing = "", self._verdict(label)
        words = len(tokens(closing))
        while words < target:
            sentence = self._sentence(label) + breaks[self.below(len(breaks))]
            text += sentence
            words += len(tokens(sentence))
        return Review(self._mistype(text + closing), label)

    def _sentence(self, label: int) -> str:
        if self.chance(FACTS_SHARE):
            return self._spoken(self.facts, label)
        return self._spoken(self.opinions, label if self.chance(self.agreeing) else 1 - label)

    def _verdict(self, label: int) -> str:
        return self._spoken(self.verdicts, label if self.chance(self.agreeing_verdicts) else 1 - label)

    def _spoken(self, templates: tuple[str, ...], mood: int) -> str:
        words = re.sub(r"\{(\w+)\}", lambda slot: self._fill(slot[1], mood), self.pick(templates))
        words = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", words)
        return words[0].upper() + words[1:] + ENDS[self.below(len(ENDS))]

    def _fill(self, slot: str, mood: int) -> str:
        if slot.startswith("anti_"):
            return self._fill(slot.removeprefix("anti_"), 1 - mood)
        if slot in self.polar:
            word = self.pick(self.polar[slot][1 - mood], steepness=4)
            return word.upper() if self.chance(0.03) else word
        if slot in self.neutral:
            return self.pick(self.neutral[slot])
        made = {"name": self._name, "title": self._title, "year": self._year, "number": self._number}
        return made[slot]()

    def _name(self) -> str:
        family = "".join(SYLLABLES[self.below(len(SYLLABLES))] for _ in range(2))
        return f"{self.pick(self.neutral['first'])} {family.capitalize()}"

    def _title(self) -> str:
        return f'"The {self._capital("colour")} {self._capital("thing")}"'

    def _capital(self, slot: str) -> str:
        return self.pick(self.neutral[slot]).capitalize()

    def _year(self) -> str:
        return str(1930 + self.below(90))

    def _number(self) -> str:
        return str(2 + self.below(40))

    def _mistype(self, text: str) -> str:
        """The text with some words mistyped (two letters swapped): most of these never get into the index."""

        def swap(word: re.Match[str]) -> str:
            letters = word[0]
            if not self.chance(0.012):
                return letters
            at = 1 + self.below(len(letters) - 2)
            return letters[:at] + letters[at + 1] + letters[at] + letters[at + 2 :]

        return re.sub(r"[a-z]{5,}", swap, text)


# ---- text to ranks: the rule of the official corpus --------------------------------------------------------

_TO_SPACE = string.punctuation.replace("'", "") + "\t\n"
_RULE = str.maketrans(string.ascii_uppercase + _TO_SPACE, string.ascii_lowercase + " " * len(_TO_SPACE))


def tokens(text: str) -> list[str]:
    """The words of a text: ASCII lower-cased, punctuation but the apostrophe cut out, split at spaces."""
    return [word for word in text.translate(_RULE).split(" ") if word]


def index_of(texts: list[str]) -> dict[str, int]:
    """Word -> rank (1 = most frequent) of all words seen RAREST times or more, keys in alphabetical order."""
    counts = Counter(word for text in texts for word in tokens(text))
    known = [word for word, count in counts.items() if count >= RAREST]
    ranked = sorted(known, key=lambda word: (-counts[word], word))
    ranks = {word: rank for rank, word in enumerate(ranked, start=1)}
    return dict(sorted(ranks.items()))


# ---- files -------------------------------------------------------------------------------------------------


def _split(writer: Writer, size: int) -> list[Review]:
    # All negatives, then all positives, as in the sorted original: who forgets to shuffle learns nothing.
    return [writer.review(label) for label in (0, 1) for _ in range(size // 2)]


def _npy(array: NDArray[np.generic]) -> bytes:
    out = io.BytesIO()
    if array.dtype.hasobject:
        # np.save leaves the pickle protocol to the NumPy version; a fixed one keeps the bytes the same.
        np.lib.format.write_array_header_1_0(out, np.lib.format.header_data_from_array_1_0(array))
        pickle.dump(array, out, protocol=4)
    else:
        np.lib.format.write_array(out, array, version=(1, 0))
    return out.getvalue()


def _ranks(reviews: list[Review], index: dict[str, int]) -> NDArray[np.object_]:
    rows = np.empty(len(reviews), dtype=object)
    for at, review in enumerate(reviews):
        rows[at] = [index[word] for word in tokens(review.text) if word in index]
    return rows


def _corpus(train: list[Review], test: list[Review], index: dict[str, int]) -> bytes:
    """The bytes of an .npz with x_train, y_train, x_test, y_test."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, reviews in (("train", train), ("test", test)):
            labels = np.array([review.label for review in reviews], dtype=np.int64)
            for member, array in ((f"x_{name}.npy", _ranks(reviews, index)), (f"y_{name}.npy", labels)):
                entry = zipfile.ZipInfo(member)  # dated 1980, as NumPy does
                entry.create_system = 3  # else the system that ran this would show in the bytes
                archive.writestr(entry, _npy(array), zipfile.ZIP_DEFLATED, compresslevel=9)
    return out.getvalue()


def _csv(header: list[str], rows: list[list[str]]) -> str:
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(header)
    lines.writerows(rows)
    return out.getvalue()


def _test_dump(test: list[Review]) -> bytes:
    rows = [[f"test/{each.sentiment[:3]}/{at:03}", each.text, each.sentiment] for at, each in enumerate(test)]
    text = _csv(["id", "review", "sentiment"], rows)
    out = io.BytesIO()
    # Not gzip.compress: its header depends on the Python version.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=out, mtime=0) as packed:
        packed.write(text.encode())
    return out.getvalue()


COLUMN_BREAKS = (" ", " ", " ", "\n", "\n\n", "<br /><br />", ' And, "I quote": ')
REVIEWERS = ("Ann", "Søren", "O'Brien, Pat", "田中", "", 'Jo "the eye" Lund', "NA", "Zoë", "null", "Łukasz")
COUNTRIES = ("NO", "NA", "FR", "", "None", "DE", "nan", "N/A", "TR", "0047")
REMARKS = ("", "seen twice", "line one\nline two", "TRUE", " padded ", "1e5", "=1+1", "a;b\tc", "–", "007")


def _columns_dump(writer: Writer) -> bytes:
    """A dump whose other columns look like numbers, gaps and dates, and must come out as they went in."""
    rows = []
    for at in range(COLUMN_ROWS):
        label = writer.below(2)
        text = writer.review(label, COLUMN_BREAKS).text
        stars = "" if at % 11 == 10 else str(writer.below(5) + (6 if label else 1))
        date = f"{2001 + at % 24}-{1 + at % 12:02}-{1 + at % 28:02}"
        rest = [entries[at % 10] for entries in (REVIEWERS, COUNTRIES)]
        rows.append([f"{at + 7:03}", stars, date, *rest, text, REMARKS[writer.below(10)]])
    rows[5][5] = "Qwrtzl xkvb 😀!!"  # no known word, yet not empty
    return _csv(["id", "stars", "date", "reviewer", "country", "review", "remark"], rows).encode()


# Physical line (the header is line 1) -> what is wrong there, and the line itself.
DAMAGE = {
    7: ("a field too many, by a comma outside quotes", b"d006,It was long, but I liked the music.,web"),
    16: ("a field too few", b"d015,There is no third field here."),
    25: ("a stray quote in a quoted review", b'd024,"They call it "the best" of the year.",web'),
    34: ("a byte that is not UTF-8", b"d033,A caf\xe9 in the rain and a very good ending.,web"),
    43: ("an empty review", b"d042,,web"),
}


def _damaged_dump(writer: Writer) -> bytes:
    """A dump with one record a line, of which those in DAMAGE are spoilt and all others are good."""
    lines = [b"id,review,source"]
    for at in range(1, DAMAGED_ROWS + 1):
        text = writer.review(at % 2, (" ", "<br /><br />")).text.replace('"', "'")
        lines.append(f'd{at:03},"{text}",web'.encode())
    for number, (_, line) in DAMAGE.items():
        lines[number - 1] = line
    return b"\n".join(lines) + b"\n"


def files() -> dict[str, bytes]:
    """File name -> content of the whole sample, without touching the disk."""
    writer = Writer(SEED)
    train, test = _split(writer, TRAIN_REVIEWS), _split(writer, TEST_REVIEWS)
    index = index_of([review.text for review in train + test])
    return {
        "corpus.npz": _corpus(train, test, index),
        "word_index.json": json.dumps(index).encode(),
        "reviews-test.csv.gz": _test_dump(test),
        "reviews-columns.csv": _columns_dump(writer),
        "reviews-damaged.csv": _damaged_dump(writer),
    }


def main() -> None:
    """Write the sample into the folder named on the command line."""
    parser = argparse.ArgumentParser(description="Make the synthetic sample corpus and review dumps.")
    parser.add_argument("folder", type=Path, nargs="?", default=SAMPLE, help="default: data/sample")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files().items():
        (folder / name).write_bytes(content)
        print(f"{folder / name}  {len(content):,} bytes")


if __name__ == "__main__":
    main()
