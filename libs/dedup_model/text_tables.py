"""Settings that are data of a region and its language: synonyms, prefixes, names of cities."""

from enum import StrEnum

from pydantic import Field

from dedup_model.setting import Section, Text


class Synonyms(Section):
    """Words that mean one thing, whole or as a part of a compound."""

    canonical: Text = Field(description="The word that replaces its variants.")
    variants: list[Text] = Field(
        default=[], max_length=100, description="Spellings and dialect forms of it."
    )


class PrefixSeparator(StrEnum):
    """What stands between a title prefix and the title proper."""

    DASH = "dash"
    COLON = "colon"


class TitlePrefix(Section):
    """A series or column name that some sources put before the title."""

    text: Text = Field(description="The prefix without its separator.")
    separator: PrefixSeparator = Field(
        default=PrefixSeparator.DASH, strict=False, description="What follows the prefix."
    )


class CityAlias(Section):
    """A city with its districts and short forms."""

    city: Text = Field(description="The name listings are grouped under.")
    aliases: list[Text] = Field(
        default=[], max_length=1000, description="Districts, short forms and old names."
    )


class Contrast(Section):
    """Words that tell two events of one kind apart: beginners, advanced."""

    words: list[Text] = Field(
        default=[],
        max_length=100,
        description="Words that exclude each other; words of one entry mean the same.",
    )


class TextTables(Section):
    """Tables of the region and its language."""

    synonyms: list[Synonyms] = Field(
        default=[
            Synonyms(canonical="hemdglunker", variants=["hemdklunker", "hemdglunki", "hendglunki"]),
            Synonyms(
                canonical="fastnacht",
                variants=[
                    "fasnacht", "fasching", "karneval", "fasnets", "fasent", "fasend", "fasnet",
                ],
            ),
        ],
        max_length=1000,
        description="Groups of words that are treated as one word.",
    )  # fmt: skip
    prefixes: list[TitlePrefix] = Field(
        default=[
            *(
                TitlePrefix(text=text)
                for text in (
                    "Nordwiler Narrenfahrplan", "Wahlkampfstand Bündnis 90/Die Grünen",
                    "Kommunales Kino", "Kolping Kids", "Fasnet im Ladhof",
                    "Narrenzunft Bergteufel", "Tag der offenen Tür",
                )
            ),
            *(
                TitlePrefix(text=text, separator=PrefixSeparator.COLON)
                for text in (
                    "Vortrag", "Bildervortrag", "Kochworkshop", "FreiTagZeit", "Jungentreff",
                    "Textil-Tag", "SPD-Veranstaltung", "Theaterabend", "Kinderprogramm",
                    "SkF Waldkirch", "Waldkircher Klimagespräch",
                )
            ),
        ],
        max_length=1000,
        description="Prefixes that are cut from titles; the first that fits is cut, once.",
    )  # fmt: skip
    city_aliases: list[CityAlias] = Field(
        default=[
            CityAlias(city="kenzingen", aliases=["nordweil", "hecklingen", "bombach"]),
            CityAlias(
                city="emmendingen",
                aliases=["mundingen", "kollmarsreute", "wasser", "windenreute", "maleck"],
            ),
            CityAlias(city="waldkirch", aliases=["kollnau", "buchholz", "suggental"]),
            CityAlias(
                city="freiburg im breisgau",
                aliases=[
                    "waltershofen", "opfingen", "tiengen", "munzingen", "lehen",
                    "freiburg", "freiburg i. br.", "freiburg i.br.", "freiburg/breisgau",
                ],
            ),
            CityAlias(city="gutach im breisgau", aliases=["bleibach"]),
            CityAlias(city="rheinhausen", aliases=["oberhausen", "niederhausen"]),
        ],
        max_length=1000,
        description="Names that count as one city.",
    )  # fmt: skip
    vague_places: list[Text] = Field(
        default=[
            "innenstadt", "altstadt", "stadtmitte", "ortsmitte", "ortskern", "stadtkern",
            "stadtzentrum", "zentrum", "fussgängerzone", "stadtgebiet", "gemeindegebiet",
            "verschiedene orte", "diverse orte", "verschiedene veranstaltungsorte", "online",
            "city centre", "city center", "town centre", "town center", "downtown",
            "high street", "various", "various venues", "various locations",
        ],
        max_length=1000,
        description="Venue names that say no more than the city does.",
    )  # fmt: skip
    contrasts: list[Contrast] = Field(
        default=[
            Contrast(words=words)
            for words in (
                [
                    "kinder kids kindergarten", "jugendliche jugend teens teenager",
                    "erwachsene erwachsenen", "senioren seniorinnen",
                ],
                ["anfaenger anfaengerinnen einsteiger", "fortgeschrittene fortgeschrittenen"],
                ["grundkurs grundlagen basiskurs", "aufbaukurs vertiefungskurs vertiefung"],
                ["android", "iphone ios ipad"],
                ["maedchen", "jungen jungs buben"],
                ["damen frauen", "herren maenner"],
                ["children kids", "teens teenagers", "adults", "seniors"],
                ["beginners beginner", "intermediate", "advanced improvers"],
                ["girls", "boys"],
                ["women womens ladies", "men mens gentlemen"],
                [
                    "erster erste ersten erstes", "zweiter zweite zweiten zweites",
                    "dritter dritte dritten drittes", "vierter vierte vierten viertes",
                ],
                ["first", "second", "third", "fourth"],
                ["one", "two", "three", "four"],
            )
        ],
        max_length=100,
        description="Groups of words of which titles of one event do not name different ones.",
    )  # fmt: skip
    lettered_words: list[Text] = Field(
        default=[
            "abteilung", "class", "course", "group", "gruppe", "klasse", "kurs", "part", "team",
            "teil",
        ],
        max_length=100,
        description="Words behind which a single letter tells titles apart: Group A.",
    )  # fmt: skip
    status_markers: list[Text] = Field(
        default=[
            "abgesagt", "abgesetzt", "entfällt", "entfallen", "fällt aus", "fällt leider aus",
            "verschoben", "verlegt", "ausverkauft", "ausgebucht", "cancelled", "canceled",
            "postponed", "rescheduled", "sold out",
        ],
        max_length=100,
        description="Words in a title that say what became of the event; not part of its name.",
    )  # fmt: skip
    function_words: list[Text] = Field(
        default=[
            "a", "ab", "am", "an", "and", "as", "at", "auf", "aus", "bei", "beim", "by", "das",
            "dem", "den", "der", "des", "die", "ein", "eine", "einem", "einen", "einer", "for",
            "from", "für", "im", "in", "ins", "ist", "mit", "nach", "oder", "of", "on", "or", "the",
            "to", "über", "um", "und", "unter", "vom", "von", "vor", "with", "zu", "zum", "zur",
        ],
        max_length=1000,
        description="Words that say nothing about which event it is.",
    )  # fmt: skip
    venue_kinds: list[Text] = Field(
        default=[
            "altstadt", "arts", "assembly", "at", "aula", "bahnhof", "baptist", "bar", "british",
            "bücherei", "bühne", "bürgerhaus", "bürgersaal", "cafe", "car", "center", "centre",
            "chapel", "church", "civic", "club", "clubraum", "community", "cricket",
            "dorfgemeinschaftshaus", "dorfplatz", "eingang", "entrance", "ev", "evangelische",
            "festhalle", "festplatz", "feuerwehrgerätehaus", "feuerwehrhaus", "field", "fields",
            "floor", "football", "foyer", "friedhof", "garden", "gardens", "gemeindehalle",
            "gemeindehaus", "gemeindesaal", "gemeindezentrum", "golf", "green", "ground", "großer",
            "grundschule", "guildhall", "hall", "hof", "hotel", "hut", "inn", "innenstadt",
            "institute", "kapelle", "kath", "katholische", "keller", "kirche", "kirchplatz",
            "kleiner", "large", "legion", "library", "lounge", "lower", "main", "market",
            "marktplatz", "meet", "mehrzweckhalle", "memorial", "mensa", "methodist", "museum",
            "near", "nebenzimmer", "new", "old", "online", "parish", "park", "pavilion",
            "pfarrheim", "pfarrkirche", "pfarrsaal", "playing", "primary", "rathaus", "raum",
            "recreation", "restaurant", "room", "rooms", "rugby", "saal", "school", "schule",
            "schützenhaus", "scout", "small", "social", "sporthalle", "sportheim", "sportplatz",
            "sports", "square", "st", "stadthalle", "stage", "station", "studio", "the", "theatre",
            "town", "turnhalle", "upper", "various", "venues", "vereinsheim", "village", "war",
            "zentrum",
        ],
        max_length=1000,
        description="Words of which a venue's name says what it is and not where: Village Hall.",
    )  # fmt: skip
    town_venues: list[Text] = Field(
        default=[
            "bowling club", "cricket club", "football club", "memorial hall", "methodist chapel",
            "methodist church", "methodist hall", "parish church", "parish hall", "parish room",
            "parish rooms", "rugby club", "town hall", "village hall",
        ],
        max_length=1000,
        description="Venues whose names begin with their town: Clun Village Hall.",
    )  # fmt: skip
    town_beginnings: list[Text] = Field(
        default=["castle", "church", "green", "lower", "market", "new", "old", "upper"],
        max_length=1000,
        description="Words of venues with which towns begin, too: Church Stretton.",
    )
    street_words: list[Text] = Field(
        default=[
            "allee", "avenue", "close", "drive", "gardens", "gasse", "hill", "lane", "place",
            "platz", "quay", "road", "row", "square", "str", "straße", "street", "terrace", "way",
            "weg",
        ],
        max_length=1000,
        description="Last words of the names of streets, which are no towns.",
    )  # fmt: skip
    meeting_words: list[Text] = Field(
        default=[
            "meet", "meeting point", "outside", "start", "startpunkt", "treffpunkt",
        ],
        max_length=100,
        description="Words before the name of a place where people meet.",
    )  # fmt: skip
    time_words: list[Text] = Field(
        default=[
            "beginn", "door", "doors", "einlass", "gates", "kick off", "kick-off", "on stage",
            "saalöffnung", "show", "start", "starts", "türöffnung",
        ],
        max_length=100,
        description="Words before a time in a text: doors, start.",
    )  # fmt: skip
