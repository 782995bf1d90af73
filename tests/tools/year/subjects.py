"""What the reviews of the year are about: the words and sentences of each subject, for the writer of the sample."""

from __future__ import annotations

from dataclasses import dataclass

from tests.tools.sample import generate
from tests.tools.sample.generate import split_words

Words = tuple[str, ...]


@dataclass(frozen=True)
class Subject:
    """What a review is drawn from. `positive` is the mood: the share of positive reviews."""

    name: str
    positive: float
    neutral: dict[str, Words]
    polar: dict[str, tuple[Words, Words]]
    opinions: Words
    facts: Words
    verdicts: Words


def _subject(
    name: str,
    positive: float,
    neutral: dict[str, str],
    polar: dict[str, tuple[str, str]],
    facts: Words,
    opinions: Words | None = None,
    verdicts: Words | None = None,
) -> Subject:
    """A subject with words of its own, and those of the films for the rest."""
    return Subject(
        name,
        positive,
        generate.NEUTRAL_WORDS | {slot: split_words(entries) for slot, entries in neutral.items()},
        generate.POLAR_WORDS | {slot: (split_words(good), split_words(bad)) for slot, (good, bad) in polar.items()},
        opinions or OPINIONS,
        facts,
        verdicts or generate.VERDICTS,
    )


OPINIONS = (
    "the {part} is {very} {adj}",
    "the {part} was {adj} and {adj}",
    "I {verb} the {part}",
    "the {part} isn't {anti_adj} at all",
    "although the {part} is {anti_adj}, the {part} is {adj}",
    "{phrase}",
    "what a {noun}",
    "nobody could call the {part} {anti_adj}",
    "I expected something {anti_adj}, but the {part} turned out {adj}",
    "far from {anti_adj}, the {part} is simply {adj}",
    "the {part} is {adverb} done",
)

FILMS = Subject(
    "films",
    0.5,
    generate.NEUTRAL_WORDS,
    generate.POLAR_WORDS,
    generate.OPINIONS,
    generate.FACTS,
    generate.VERDICTS,
)

RESTAURANTS = _subject(
    "restaurants",
    0.62,
    {
        "part": """soup|service|waiter|menu|dessert|bread|wine list|kitchen|starter|fish|steak|salad|coffee|terrace|
            table|sauce|breakfast|lamb|risotto|portion|bill|cheese board|bar|pasta|chef""",
        "thing": "reservation|candle|tablecloth|oyster|napkin|bottle|corner table|set menu|pancake|lobster|spoon",
        "place": "the old market|the square|a side street|the river bank|a courtyard|the station|a cellar|the pier",
        "genre": "bistro|trattoria|tavern|diner|steakhouse|noodle bar|bakery|brasserie|canteen",
    },
    {
        "adj": (
            """delicious|tasty|fresh|tender|crunchy|creamy|attentive|cosy|great|generous|juicy|fragrant|excellent|
            homemade|heavenly|flavourful|good|seasonal""",
            """bland|greasy|overcooked|soggy|stale|rude|cold|salty|bad|tasteless|overpriced|chewy|burnt|awful|
            lukewarm|watery|slow|dry""",
        ),
        "noun": ("feast|treat|find|gem|delight|joy", "letdown|rip-off|disaster|mess|disgrace|disappointment"),
        "phrase": (
            """we licked our plates|we will be back next week|it's worth the wait|my compliments to the chef|
            we ordered a second round""",
            """we left hungry|we sent it back|never again|we waited an hour for nothing|I was ill all night""",
        ),
    },
    (
        "we had the {thing} at a {genre} near {place}",
        "my {friend} ordered the {part} {when}",
        "the {genre} opened {number} years ago in {place}",
        "we were {number} people at one table, {filler}",
        "{name} told us about the {genre} in {place}",
        "the {part} comes with a {thing}",
    ),
)

HOTELS = _subject(
    "hotels",
    0.55,
    {
        "part": """room|bed|bathroom|reception|pool|view|balcony|shower|lobby|pillow|wifi|lift|garden|spa|staff|
            carpet|heating|minibar|check-in|sauna|parking|towels|air conditioning""",
        "thing": "suitcase|key card|keyhole|lamp|kettle|wardrobe|bathrobe|bunk|hammock|safe|curtain|window",
        "place": "the coast|the old town|the lake|the airport|the ski slopes|the cathedral|the beach|the motorway",
        "genre": "hostel|inn|guest house|resort|lodge|motel|bed and breakfast|pension",
    },
    {
        "adj": (
            """spotless|comfortable|quiet|spacious|welcoming|clean|modern|bright|great|helpful|luxurious|peaceful|
            charming|excellent|well-kept|airy|good|restful""",
            """dirty|noisy|cramped|mouldy|shabby|smelly|unfriendly|damp|bad|broken|worn|draughty|awful|dusty|
            run-down|dingy|stuffy|sticky""",
        ),
        "noun": ("oasis|retreat|haven|bargain|delight|joy", "dump|nightmare|rip-off|letdown|disgrace|mess"),
        "phrase": (
            """we slept like babies|we extended our stay|we have booked again|it felt like home|
            I didn't want to leave""",
            """we didn't sleep at all|we left a day early|there were bugs in the bed|I asked for a refund|
            nobody answered the telephone""",
        ),
    },
    (
        "we stayed {number} nights in a {genre} by {place}",
        "my {friend} booked the {genre} {when}",
        "our {part} was on floor {number}, {filler}",
        "the {genre} was built in {year}",
        "{name} carried the {thing} to our {part}",
        "there's a {thing} in every {part}",
    ),
)

PHONES = _subject(
    "phones",
    0.4,
    {
        "part": """battery|screen|charger|camera lens|firmware|touchpad|speaker|bluetooth|case|update|app|sensor|
            hinge|keyboard|microphone|processor|headset|fingerprint reader|display|storage|antenna|usb port""",
        "thing": "cable|adapter|sim card|manual|dongle|box|stylus|receipt|power bank|warranty card|holster",
        "place": "the web shop|the outlet|an online auction|the repair centre|the warehouse|the flagship store",
        "genre": "smartphone|tablet|smartwatch|laptop|headphone set|router|e-reader|tracker",
    },
    {
        "adj": (
            """responsive|snappy|crisp|sturdy|sleek|intuitive|reliable|lightweight|fast|waterproof|ergonomic|
            seamless|lag-free|vivid|durable|great|long-lasting|compatible""",
            """laggy|flimsy|sluggish|buggy|overheating|scratchy|unresponsive|bloated|defective|glitchy|clunky|
            outdated|fragile|pixelated|dim|bad|incompatible|wobbly""",
        ),
        "verb": (
            "recommend|rely on|swear by|upgraded to|kept|enjoy using",
            "returned|replaced|unplugged|sold|sent back|gave up on",
        ),
        "adverb": (
            "smoothly|flawlessly|instantly|solidly|accurately|neatly",
            "sloppily|erratically|unevenly|loosely|cheaply|haltingly",
        ),
        "noun": ("workhorse|upgrade|bargain|powerhouse|keeper", "brick|lemon|paperweight|downgrade|scam"),
        "phrase": (
            """it works out of the box|it charges in minutes|it hasn't crashed once|setup took no time|
            it survived a fall""",
            """it died after a week|it freezes all the time|support never replied|it won't switch on|
            the glass cracked on day one""",
        ),
        "advice": ("order it|upgrade now|add it to your cart", "return it|wait for the successor|cancel your order"),
    },
    (
        "I bought the {genre} from {place} {when}",
        "the {genre} came with a {thing} and a {thing}",
        "version {number} of the {genre} was released in {year}",
        "my {friend} uses the same {genre}, {filler}",
        "shipping from {place} took {number} days",
        "I paired the {part} with a {genre}",
    ),
)

GERMAN = _subject(
    "German",
    0.5,
    {
        "part": """Akku|Bildschirm|Lieferung|Verpackung|Kamera|Anleitung|Tastatur|Bedienung|Ladegerät|Gehäuse|
            Kundendienst|Klang|Verarbeitung|Speicher""",
        "very": "sehr|wirklich|ziemlich|ganz|überraschend|recht|leider|einfach",
        "when": "letzte Woche|im Sommer|vor einem Jahr|gestern|zum Geburtstag|im Urlaub",
        "place": "Hamburg|München|Köln|dem Laden|dem Internet|Leipzig",
        "friend": "Frau|Schwester|Nachbarin|Kollegin|Tochter|Freundin",
        "thing": "Kabel|Netzteil|Hülle|Rechnung|Schachtel|Ersatzteil",
    },
    {
        "adj": (
            "gut|schnell|zuverlässig|hochwertig|praktisch|robust|ausgezeichnet|einwandfrei|angenehm|stabil",
            "schlecht|langsam|unzuverlässig|billig|unbrauchbar|wackelig|enttäuschend|fehlerhaft|mangelhaft|laut",
        ),
        "phrase": (
            "ich würde es wieder kaufen|alles bestens|ich bin begeistert|klare Empfehlung|es läuft ohne Probleme",
            "nie wieder|ich habe es zurückgeschickt|es ging sofort kaputt|rausgeworfenes Geld|niemand hat geantwortet",
        ),
        "noun": ("Glücksgriff|Volltreffer|Schnäppchen", "Fehlkauf|Reinfall|Ärgernis"),
    },
    (
        "ich habe es {when} aus {place} bestellt",
        "meine {friend} hat das gleiche, nur mit {thing}",
        "im Karton lag auch noch ein {thing}",
        "die Bestellung kam nach {number} Tagen",
    ),
    opinions=(
        "der Eindruck ist {very} {adj}",
        "{part} und {part} sind {very} {adj}",
        "{phrase}",
        "was für ein {noun}",
        "das ist nicht {anti_adj}, sondern {adj}",
        "zuerst dachte ich, es sei {anti_adj}, aber es ist {adj}",
    ),
    verdicts=("insgesamt {very} {adj}", "am Ende ein {noun}", "{score} von 10", "mein Urteil: {adj}"),
)
