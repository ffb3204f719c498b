"""The German words of the synthetic set; every text is invented."""

from synthetic_language import Kind, Language


def words(text: str) -> tuple[str, ...]:
    """Return the words of a text."""
    return tuple(text.split())


def lines(text: str) -> tuple[str, ...]:
    """Return the lines of a text that hold something."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


CONCERT = Kind(
    genres=words("Konzert Chorkonzert Kammerkonzert Benefizkonzert Orgelkonzert Jazzabend"),
    names=("{a} {n}", "{n} und {m}", "Zwischen {n} und {m}", "{n}{tail}", "Von {n} und {m}"),
    facts=(
        (
            "{ens} spielt ein Programm über {n} und {m}.",
            "Musik über {n} und {m} hat {ens} einstudiert.",
        ),
        (
            "Auf dem Programm stehen Werke aus vier Jahrhunderten.",
            "Vier Jahrhunderte Musikgeschichte ziehen am Ohr vorbei.",
        ),
        (
            "Im Mittelpunkt stehen {a} Klänge und eigene Stücke.",
            "Eigene Stücke und {a} Klänge prägen den Auftritt.",
        ),
        ("Der Eintritt ist frei, Spenden sind willkommen.", "Um eine Spende wird gebeten."),
    ),
    categories=("konzert", "musik"),
    hours=(17, 18, 19, 19.5, 20, 20, 19.25),
    performers=True,
)
STAGE = Kind(
    genres=words("Theater Komödie Kabarett Lustspiel Theaterabend Figurentheater"),
    names=(
        "{a} {n}",
        "Die Sache mit den {n}",
        "{n} für Anfänger",
        "Ohne {n} keine {m}",
        "{n}{tail}",
    ),
    facts=(
        (
            "{ens} zeigt ein Stück um {a} {n}.",
            "Um {a} {n} dreht sich alles, wenn {ens} die Bühne betritt.",
        ),
        ("Regie und Bühnenbild entstanden im Ort.", "Das Bühnenbild haben Freiwillige gezimmert."),
        (
            "Verwechslungen um {m} sorgen für Heiterkeit.",
            "Am Ende weiß niemand mehr, wem die {m} gehören.",
        ),
        ("In der Pause wird bewirtet.", "Für das leibliche Wohl in der Pause ist gesorgt."),
    ),
    categories=("theater", "kultur"),
    hours=(15, 19, 19.5, 20, 20),
    performers=True,
)
TALK = Kind(
    genres=words("Vortrag Lesung Bildervortrag Gesprächsabend Infoabend Buchvorstellung"),
    names=(
        "{a} {n} in unserer Region",
        "Was uns {n} erzählen",
        "{n} im Wandel",
        "{n} und {m} heute",
        "Leben mit {n}",
        "{n}{tail}",
    ),
    facts=(
        (
            "Der Abend führt in die Welt der {n} ein.",
            "Wer mehr über {n} wissen will, ist hier richtig.",
        ),
        (
            "Gezeigt werden Bilder von {a} {m}.",
            "Dazu gibt es Aufnahmen, auf denen {a} {m} zu sehen sind.",
        ),
        (
            "Anschließend ist Zeit für Fragen.",
            "Fragen aus dem Publikum sind ausdrücklich erwünscht.",
        ),
        (
            "Eine Anmeldung ist bis zum Vortag erforderlich.",
            "Wer kommen will, meldet sich bis zum Vortag an.",
        ),
    ),
    categories=("vortrag", "bildung"),
    hours=(18, 19, 19, 19.5, 20),
)
TOUR = Kind(
    genres=words("Führung Wanderung Stadtführung Exkursion Spaziergang Radtour"),
    names=(
        "Auf den Spuren der {n}",
        "Zu den {a} {n}",
        "{n} am Wegrand",
        "{n}{tail}",
        "Zwischen {n} und {m}",
    ),
    facts=(
        ("Treffpunkt ist der Eingang {venue}.", "Los geht es am Eingang {venue}."),
        (
            "Unterwegs geht es um {n} und {a} {m}.",
            "Von {n} bis zu {m} reicht, was am Weg erklärt wird.",
        ),
        (
            "Die Strecke ist rund sieben Kilometer lang, festes Schuhwerk ist nötig.",
            "Für die sieben Kilometer braucht es feste Schuhe.",
        ),
        ("Bei Dauerregen entfällt die Tour.", "Regnet es anhaltend, bleibt die Gruppe zu Hause."),
    ),
    categories=("natur", "fuehrung"),
    hours=(9, 10, 11, 14, 14.5, 15),
)
FAMILY = Kind(
    genres=words("Kinderprogramm Familiennachmittag Puppentheater Mitmachkonzert Vorlesestunde"),
    names=("{n} und die {m}", "Das Geheimnis der {n}", "{a} {n}", "{n}{tail}", "Wo die {n} wohnen"),
    facts=(
        (
            "Eine Geschichte über {n} für Kinder ab vier Jahren.",
            "Kinder ab vier Jahren lernen {a} {n} kennen.",
        ),
        (
            "Zum Schluss werden {m} gebastelt.",
            "Wer mag, bastelt danach {m} und nimmt sie mit nach Hause.",
        ),
        ("Die Plätze sind begrenzt.", "Weil der Platz knapp ist, lohnt frühes Kommen."),
    ),
    categories=("kinder", "familie"),
    hours=(10, 11, 14.5, 15, 15, 16),
)
SHOW = Kind(
    genres=words("Ausstellung Kunstausstellung Fotoausstellung Sonderausstellung"),
    names=("{a} {n}", "{n} in Farbe", "{n} und {m}", "Hinter den {n}", "{n}{tail}"),
    facts=(
        (
            "Zu sehen sind Arbeiten zum Thema {n}.",
            "Um {n} kreisen die Bilder, die nun an den Wänden hängen.",
        ),
        (
            "Skulpturen über {m} ergänzen die Schau.",
            "Auch Skulpturen gehören dazu, sie zeigen {m}.",
        ),
        (
            "Geöffnet ist täglich außer montags.",
            "Montags bleibt die Schau geschlossen.",
        ),
    ),
    categories=("ausstellung", "kunst"),
    hours=(10, 11, 14),
)
GERMAN = Language(
    code="de",
    town_starts=words(
        "Aschen Birken Linden Eichen Buchen Ulmen Erlen Weiden Hasel Holz Stein Kiesel Sand Lehm "
        "Moos Farn Kron Königs Grafen Vogt Mönch Kloster Kirch Mühl Brunn See Bach Fluss Furt "
        "Alten Neuen Ober Nieder Hinter Vorder Lang Breiten Hohen Tiefen Roten Weißen Schwarz "
        "Grün Gold Silber Eisen Kupfer Salz Wolfs Bären Hirsch Fuchs Dachs Biber Adler Falken "
        "Reiher Schwanen Kranich Winter Sommer Morgen Abend"
    ),
    town_ends=words(
        "bach berg burg dorf feld hausen heim hofen ingen kirchen münster rode stadt stetten tal "
        "wald weiler wiesen brück au see ried loh grund"
    ),
    town_tails=(
        (" im Breisgau", " i. Br."), (" am Main", " a. M."), (" am See", ""), (" in Westfalen", " i. W."),
        (" an der Weide", " a. d. Weide"),
    ),
    street_ends=(("straße", "str."), ("weg", "weg"), ("gasse", "gasse"), ("platz", "pl.")),
    venues=words(
        "Bürgerhaus Stadthalle Stadtbücherei Gemeindehaus Festhalle Rathaus Kulturscheune "
        "Heimatmuseum Pfarrsaal Turnhalle Stadtpark Marktplatz Mehrzweckhalle Freibad"
    ),
    own_venues=(
        "Gasthaus {n}krug", "Café {n}", "Kulturzentrum {n}hof", "{n}halle", "{n}keller",
        "{n}mühle", "Galerie {n}", "Kirche St. {n}", "{n}schule", "Atelier {n}",
    ),
    rooms=("Großer Saal", "Foyer", "Kleiner Saal", "Raum 2", "Saal 1", "Clubraum"),
    adjectives=words(
        "stille blaue wilde alte junge ferne nahe helle dunkle goldene silberne rote grüne leise "
        "laute freche kluge mutige müde verlorene gefundene vergessene verborgene gläserne "
        "hölzerne eiserne papierne fliegende tanzende singende schwimmende wandernde träumende "
        "schiefe krumme seltene letzte erste fremde eigene"
    ),
    nouns=words(
        "Wolken Blumen Farben Wellen Glocken Straßen Brücken Katzen Masken Karten Stimmen Sonnen "
        "Welten Reisen Inseln Schatten Federn Spuren Geschichten Maschinen Raketen Dohlen Eulen "
        "Quellen Ruinen Legenden Tauben Uhren Laternen Rosen Eichen Linden Burgen Sagen Flammen "
        "Saiten Tasten Trommeln Ziegen Forellen Libellen Bienen Hummeln Kräuter Pilze Gärten "
        "Mauern Türme Fenster Türen Schlüssel Briefe Steine Sterne Monde Flüsse Bäche Pfade "
        "Nebel Gewitter Märchen Rätsel Tänze Lieder Zwiebeln Kartoffeln Kürbisse Äpfel Würfel "
        "Drachen Riesen Zwerge Räuber Kapitäne Köche Schneider Müller Töpfe Löffel Hüte Schuhe"
    ),
    tails=words("nacht fest reise klänge zauber werkstatt lauf abend spiel runde"),
    ensembles=(
        "Trio {n}", "Quartett {n}", "Kammerchor {town}", "Musikverein {town}", "Duo {n} und {m}",
        "die {a}n {n}", "Ensemble {n}", "Stadtkapelle {town}", "Big Band {town}",
        "Theatergruppe {n}", "Bühne {n}", "Gesangverein {town}", "Kapelle {n}", "Vokalkreis {n}",
    ),
    clubs=("TV {town}", "SV {town}", "Turnverein {town}", "VHS {town}", "Sportclub {town}"),
    kinds={
        "concert": CONCERT, "stage": STAGE, "talk": TALK, "tour": TOUR, "family": FAMILY,
        "exhibition": SHOW,
    },
    openings=(
        ("{genre} „{name}“ in {town}.", "„{name}“ heißt es demnächst in {town}."),
        ("Herzliche Einladung zu „{name}“.", "Unter dem Titel „{name}“ lädt {town} ein."),
        ("{name}: {genre} {venue}.", "Mit „{name}“ füllt sich bald: {venue}."),
    ),
    subtitles=(
        "Ein Abend über {n} und {m}", "{genre} mit {ens}", "Zum Jubiläum der {n}",
        "{a} Begegnungen", "{genre} für alle",
    ),
    headlines=(
        "{town} freut sich auf „{name}“", "„{name}“ kommt nach {town}", "{ens} bringt „{name}“ mit",
        "{genre} in {town}: {name}", "{name} – ein Fest für {n}", "Wenn {n} erzählen: {name}",  # noqa: RUF001
    ),
    generic=(
        "Kinderball", "Osterfeuer", "Weihnachtsmarkt", "Flohmarkt", "Maibaumstellen", "Blutspende",
        "Seniorennachmittag", "Feuerwehrfest", "Martinsumzug", "Neujahrsempfang", "Fasnachtsumzug",
        "Jahreshauptversammlung", "Kleiderbasar", "Wochenmarkt", "Frühlingskonzert", "Dorffest",
    ),
    weekly=(
        "Offener Singkreis", "Spieleabend", "Lauftreff", "Krabbelgruppe {n}", "Strickcafé {n}",
        "Repaircafé", "Schachclub {n}", "Tanzkreis", "Gedächtnistraining", "Boule am {venue}",
        "Sprachcafé", "Chorprobe {ens}",
    ),
    films=("{a} {n}", "{n} und {m}", "Die {n} von {town}", "Kein Platz für {n}", "Mission {n}", "{n}{tail}"),
    festivals=("{town}er Stadtfest", "{n}festival", "{town}er Kulturtage", "Straßenfest {n}gasse"),
    festival_parts=(
        "Eröffnung mit Fassanstich", "Konzert: {ens}", "Kinderflohmarkt", "Gottesdienst im Festzelt",
        "Tanz mit {ens}", "Festumzug", "Feuerwerk", "Theater: {a} {n}", "Frühschoppen mit {ens}",
        "Lesung: {n} und {m}",
    ),
    courses=("Yoga", "Rückengymnastik", "Aquafitness", "Italienisch", "Judo", "Aquarellmalen", "Pilates"),
    levels=(
        ("für Anfänger", "für Fortgeschrittene"), ("Gruppe 1", "Gruppe 2"), ("Kurs A", "Kurs B"),
        ("für Kinder", "für Erwachsene"), ("Mädchen", "Jungen"),
    ),
    markers=("ABGESAGT: {}", "Ausverkauft! {}", "{} (verschoben)", "VERLEGT: {}", "{} - abgesagt"),
    synonyms=(
        ("Fasnacht", "Karneval"), ("Fasnacht", "Fasching"), ("Vortrag", "Referat"),
        ("Konzert", "Musikabend"), ("Führung", "Rundgang"), ("Wanderung", "Wandertour"),
        ("Kinder", "Kids"), ("Lesung", "Autorenlesung"), ("Theater", "Schauspiel"), (" und ", " & "),
        ("Flohmarkt", "Trödelmarkt"), ("Basar", "Börse"),
    ),
    boilerplate=lines("""
        Weitere Informationen beim Veranstalter. Änderungen vorbehalten.
        Karten gibt es im Vorverkauf in der Tourist-Information und an der Abendkasse.
        Wir freuen uns auf Ihren Besuch! Ihr Kulturamt.
        Eintritt frei, um Spenden wird gebeten. Parkplätze sind vorhanden.
        Dieser Termin wurde vom Veranstalter eingetragen. Alle Angaben ohne Gewähr.
        Mehr dazu in unserem Programmheft, das in allen Geschäften ausliegt.
    """),
    cinema_text="Das Kino {venue} zeigt aktuelle Filme in digitaler Qualität. Karten an der Kasse.",
    course_text="{club} bietet Kurse für alle an. Bitte Matte und bequeme Kleidung mitbringen.",
    generic_text=(
        "Herzliche Einladung zum {name} in {town}. Für Speis und Trank ist gesorgt.",
        "Auch in {town} steht wieder an: {name}. Bewirtet wird durch den Verein {n}.",
    ),
)  # fmt: skip
