"""What happens in a synthetic town: single events, and those that are easily taken for each other."""

from collections.abc import Callable

from synthetic_language import Fact, Kind
from synthetic_world import Event, Scene, Show, capital


def happening(scene: Scene) -> list[Event]:
    """Return the events of one happening: mostly one, several for a hard negative."""
    kind = scene.random.choices(list(HAPPENINGS), list(HAPPENINGS.values()))[0]
    return kind(scene)


def _kind(scene: Scene, *names: str) -> Kind:
    return scene.town.language.kinds[scene.random.choice(names)]


def _plain(facts: tuple[Fact, ...], category: str) -> Kind:
    return Kind((), (), facts, (category,), ())


def _single(scene: Scene) -> list[Event]:
    kind = _kind(scene, "concert", "concert", "stage", "talk", "tour", "family")
    name = scene.random.choice(kind.names)
    return [scene.event(kind, name, scene.venue(), (scene.show(kind.hours),))]


def _exhibition(scene: Scene) -> list[Event]:
    kind = _kind(scene, "exhibition")
    show = scene.show(kind.hours)
    last = scene.day + scene.random.randrange(5, 40)
    shows = (Show(scene.day, show.start, None, last),)
    return [scene.event(kind, scene.random.choice(kind.names), scene.venue(), shows)]


def _generic(scene: Scene) -> list[Event]:
    language = scene.town.language
    name = scene.generic or scene.random.choice(language.generic)
    hours = (10.0, 11.0, 14.0, 14.5, 15.0, 18.0)
    kind = _plain((language.generic_text,), "brauchtum")
    group = "generic name" if scene.generic else ""
    return [scene.event(kind, name, scene.venue(), (scene.show(hours),), group)]


def _cinema(scene: Scene) -> list[Event]:
    language, venue = scene.town.language, scene.town.venues[-1]
    kind = _plain(((language.cinema_text, language.cinema_text),), "kino")
    events = []
    for name in scene.random.sample(language.films, scene.random.randrange(3, 6)):
        scene.draw()
        show = scene.show((15.0, 17.5, 20.0, 20.25))
        events.append(scene.event(kind, name, venue, (show,), "cinema"))
    return events


def _weekly(scene: Scene) -> list[Event]:
    language, venue = scene.town.language, scene.venue()
    kind = _plain((scene.random.choice(language.kinds["family"].facts),), "treff")
    name, first = scene.random.choice(language.weekly), scene.show((9.5, 15.0, 18.0, 19.0, 20.0))
    shows = [Show(scene.day + 7 * week, first.start, first.end) for week in range(4)]
    return [scene.event(kind, name, venue, (show,), "weekly series") for show in shows]


def _festival(scene: Scene) -> list[Event]:
    language, venue, random = scene.town.language, scene.venue(), scene.random
    festival = capital(random.choice(language.festivals).format(**scene.slots))
    kind = _plain((language.generic_text,), "fest")
    events = []
    for number, part in enumerate(random.sample(language.festival_parts, 4)):
        scene.draw()
        hours = (10.0 + 3 * number, 10.5 + 3 * number)
        name = f"{festival}: {part}"
        events.append(scene.event(kind, name, venue, (scene.show(hours),), "festival part"))
    return events


def _courses(scene: Scene) -> list[Event]:
    language, venue, random = scene.town.language, scene.venue(), scene.random
    course, hour = random.choice(language.courses), random.choice((17.0, 18.0, 19.0))
    kind = _plain(((language.course_text, language.course_text),), "kurs")
    hours = ((hour,), random.choice(((hour,), (hour + 1,))))
    return [
        scene.event(kind, f"{course} {level}", venue, (scene.show(when),), "groups of a club")
        for level, when in zip(random.choice(language.levels), hours, strict=True)
    ]


def _run(scene: Scene) -> list[Event]:
    """Return a play on several evenings that everybody lists whole."""
    kind = _kind(scene, "stage", "concert")
    first, step = scene.show(kind.hours), scene.random.choice((1, 7))
    shows = tuple(Show(scene.day + step * n, first.start, first.end) for n in range(3))
    return [scene.event(kind, scene.random.choice(kind.names), scene.venue(), shows, "run")]


def _run_by_evening(scene: Scene) -> list[Event]:
    """Return the evenings of a play, and its whole run, which some list beside them."""
    whole = _run(scene)[0]
    evenings = [_with(whole, (show,), "evenings") for show in whole.shows]
    whole.group, whole.labelled = "evenings", False
    return [*evenings, *([whole] if scene.random.random() < 0.5 else [])]


def _two_shows(scene: Scene) -> list[Event]:
    """Return a family show of one afternoon: one event with two times."""
    kind = _kind(scene, "family")
    shows = (Show(scene.day, 14 * 60), Show(scene.day, 16 * 60 + 30))
    return [scene.event(kind, scene.random.choice(kind.names), scene.venue(), shows, "two shows")]


def _matinee(scene: Scene) -> list[Event]:
    """Return the matinee and the evening of a play, listed apart: two events."""
    whole = _two_shows(scene)[0]
    times = (Show(scene.day, 15 * 60), Show(scene.day, 20 * 60))
    return [_with(whole, (show,), "matinee") for show in times]


def _with(event: Event, shows: tuple[Show, ...], group: str) -> Event:
    parts = {name: getattr(event, name) for name in Event.__slots__}
    return Event(**parts | {"shows": shows, "group": group})


HAPPENINGS: dict[Callable[[Scene], list[Event]], float] = {
    _single: 60, _exhibition: 5, _generic: 16, _cinema: 3, _weekly: 4, _festival: 2, _courses: 4,
    _run: 3, _run_by_evening: 1, _two_shows: 2, _matinee: 1,
}  # fmt: skip
"""How often each happening is drawn."""
