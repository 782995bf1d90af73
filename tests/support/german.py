"""Reviews in German, made up from common words: what arrives when a dump is of another language."""

from __future__ import annotations

import random


def _words(text: str) -> list[str]:
    return text.split()


COMMON = _words("""
der die das und ich nicht ist ein eine es zu mit von auf für den im dem war so auch wie als sich aber man
noch hat bei nur über aus wird oder mehr wenn sehr kann schon doch vor durch nach werden mich haben mir sind einen einem
einer bis zum zur immer wieder hier ganz etwas alles nichts jeder viele wirklich leider eigentlich ziemlich wurde hätte
könnte sollte niemals manchmal trotzdem deshalb während zwischen gegen ohne weil dass obwohl""")
RARER = _words("""
Film Handlung Schauspieler Regisseur Drehbuch Geschichte Szene Ende Anfang Musik Figuren Hauptrolle Kamera
Spannung Langeweile Zuschauer Kino Fernsehen Bücher Vorlage Meisterwerk Enttäuschung Zeitverschwendung Unterhaltung
Humor Gefühl Liebe Krieg Familie Kinder Stadt Nacht Mädchen Leben Tod Wahrheit Überraschung Nebendarsteller
Geschmackssache Filmabend Kinokarte Fortsetzung Spezialeffekte Dialoge wunderbar schrecklich langweilig großartig
schlecht überzeugend gelungen misslungen spannend vorhersehbar unglaubwürdig berührend lächerlich ausgezeichnet
empfehlenswert durchschnittlich gesehen gefallen gespielt erzählt gelacht geweint verlassen geschlafen erwartet
enttäuscht begeistert überrascht bezahlt gewartet verstanden vergessen""")


def reviews(count: int, seed: int = 0) -> list[str]:
    """So many reviews of 40 to 400 words."""
    chance = random.Random(seed)
    return [
        " ".join(_sentence(chance) for _ in range(chance.randrange(4, 40)))[: chance.randrange(240, 2_400)]
        for _ in range(count)
    ]


def _sentence(chance: random.Random) -> str:
    words = [
        chance.choice(RARER) if chance.random() < 0.4 else COMMON[min(int(chance.expovariate(0.04)), len(COMMON) - 1)]
        for _ in range(chance.randrange(6, 16))
    ]
    return f"{' '.join(words).capitalize()}{chance.choice('..,!?')}"
