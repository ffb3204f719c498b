"""The English words of the synthetic set; every text is invented."""

from synthetic_german import lines, words
from synthetic_language import Kind, Language

CONCERT = Kind(
    genres=(
        "Concert",
        "Choir concert",
        "Chamber music",
        "Live music",
        "Organ recital",
        "Jazz night",
    ),
    names=("{a} {n}", "{n} and {m}", "Between {n} and {m}", "{n} {tail}", "Songs of {n}"),
    facts=(
        ("{ens} perform music about {n} and {m}.", "Expect {n} and {m} when {ens} take the stage."),
        ("The programme spans four centuries.", "Four centuries of music fit into one evening."),
        ("Original pieces and {a} sounds.", "Much of it is their own work, with {a} sounds."),
        ("Free entry, donations welcome.", "There is no charge, though a hat goes round."),
    ),
    categories=("concert", "music"),
    hours=(17, 18, 19, 19.5, 20, 20, 19.25),
    performers=True,
)
STAGE = Kind(
    genres=("Theatre", "Comedy", "Stand-up", "Play", "Musical", "Puppet show"),
    names=(
        "The {a} {n}",
        "The Trouble with {n}",
        "{n} for Beginners",
        "No {n} without {m}",
        "{n} {tail}",
    ),
    facts=(
        ("{ens} present a play about {a} {n}.", "{a} {n} cause chaos as {ens} return."),
        ("Set and costumes were made locally.", "Volunteers built the set over the winter."),
        ("A comedy of errors around {m}.", "By the end nobody knows who owns the {m}."),
        ("Bar open from half an hour before.", "Drinks are served before the curtain."),
    ),
    categories=("theatre", "arts"),
    hours=(15, 19, 19.5, 20, 20),
    performers=True,
)
TALK = Kind(
    genres=("Talk", "Lecture", "Reading", "Illustrated talk", "Book launch", "Discussion"),
    names=(
        "{a} {n} of our region",
        "What {n} tell us",
        "{n} through time",
        "{n} and {m} today",
        "Living with {n}",
        "The {n} {tail}",
    ),
    facts=(
        ("An introduction to the world of {n}.", "Anyone curious about {n} will be at home here."),
        ("With pictures of {a} {m}.", "Slides show {a} {m} few have seen."),
        ("Questions and answers afterwards.", "The audience may ask whatever it likes."),
        ("Booking is required by the day before.", "Seats must be booked a day ahead."),
    ),
    categories=("talk", "education"),
    hours=(18, 19, 19, 19.5, 20),
)
TOUR = Kind(
    genres=("Guided walk", "Tour", "Walk", "Heritage tour", "Nature walk", "Bike ride"),
    names=(
        "In search of {n}",
        "To the {a} {n}",
        "{n} along the path",
        "{n} {tail}",
        "From {n} to {m}",
    ),
    facts=(
        ("Meet at the entrance of {venue}.", "The group sets off from {venue}."),
        ("We look at {n} and {a} {m}.", "Along the way there are {n} and {a} {m} to discover."),
        ("About four miles, sturdy shoes needed.", "Wear proper shoes for the four miles."),
        ("Cancelled in heavy rain.", "Heavy rain would put an end to it."),
    ),
    categories=("nature", "tour"),
    hours=(9, 10, 11, 14, 14.5, 15),
)
FAMILY = Kind(
    genres=("Family show", "Storytime", "Kids workshop", "Puppet theatre", "Craft morning"),
    names=(
        "{n} and the {m}",
        "The secret of the {n}",
        "{a} {n}",
        "{n} {tail}",
        "Where the {n} live",
    ),
    facts=(
        ("A story about {n} for ages four and up.", "Children from four meet {a} {n}."),
        ("We make {m} together at the end.", "Everyone takes home {m} of their own making."),
        ("Places are limited.", "Come early, the room is small."),
    ),
    categories=("kids", "family"),
    hours=(10, 11, 14.5, 15, 15, 16),
)
SHOW = Kind(
    genres=("Exhibition", "Art exhibition", "Photo exhibition", "Gallery show"),
    names=("{a} {n}", "{n} in colour", "{n} and {m}", "Behind the {n}", "{n} {tail}"),
    facts=(
        ("Works on the theme of {n}.", "Paintings that circle around {n} line the walls."),
        ("Sculptures of {m} complete the show.", "There are sculptures too, of {m}."),
        ("Open daily except Mondays.", "On Mondays the doors stay shut."),
    ),
    categories=("exhibition", "art"),
    hours=(10, 11, 14),
)
ENGLISH = Language(
    code="en",
    town_starts=words(
        "Ash Birch Lind Oak Beech Elm Alder Willow Hazel Wood Stone Pebble Sand Clay Moss Fern "
        "Crown King Earl Abbot Monk Church Mill Well Lake Brook Ford Old New Upper Nether Long "
        "Broad High Deep Red White Black Green Gold Silver Iron Copper Salt Wolf Bear Hart Fox "
        "Badger Beaver Eagle Falcon Heron Swan Crane Winter Summer"
    ),
    town_ends=words(
        "bourne bridge bury by combe den field ford gate ham hurst land leigh ley mere minster "
        "port shaw stead stoke ton wick worth well"
    ),
    town_tails=(
        (" upon Thorne", ""), (" under Edge", ""), (" St. Mary", " St Mary"), (" on the Water", ""),
        (" Saint Giles", " St. Giles"),
    ),
    street_ends=((" Street", " St."), (" Road", " Rd"), (" Lane", " Ln"), (" Avenue", " Ave")),
    venues=(
        "Town Hall", "Village Hall", "Public Library", "Community Centre", "Parish Church", "Museum",
        "Arts Centre", "Sports Centre", "Market Square", "Memorial Hall", "Scout Hut", "City Park",
    ),
    own_venues=(
        "The {a} Lion", "{n} Café", "{n} Theatre", "{n} House", "{n} Gallery", "St {n} Church",
        "{n} Primary School", "The {n} Arms", "{n} Studio", "{n} Barn",
    ),
    rooms=("Main Hall", "Foyer", "Studio 2", "Upper Room", "Room 1", "Garden Room"),
    adjectives=words(
        "silent blue wild old young distant bright dark golden silver red green quiet loud bold "
        "clever brave weary lost found forgotten hidden glass wooden iron paper flying dancing "
        "singing floating wandering dreaming crooked rare last first foreign secret hollow gentle"
    ),
    nouns=words(
        "Clouds Flowers Colours Waves Bells Streets Bridges Cats Masks Maps Voices Suns Worlds "
        "Journeys Islands Shadows Feathers Tracks Stories Engines Rockets Jackdaws Owls Springs "
        "Ruins Legends Pigeons Clocks Lanterns Roses Oaks Lindens Castles Sagas Flames Strings "
        "Keys Drums Goats Trout Dragonflies Bees Herbs Mushrooms Gardens Walls Towers Windows "
        "Doors Letters Stones Stars Moons Rivers Brooks Paths Mists Storms Tales Riddles Dances "
        "Onions Potatoes Pumpkins Apples Dice Kites Giants Dwarfs Robbers Captains Cooks Tailors "
        "Millers Kettles Spoons Hats Shoes"
    ),
    tails=words("night fair voyage sounds magic workshop run evening game circle"),
    ensembles=(
        "The {n} Trio", "The {n} Quartet", "{town} Chamber Choir", "{town} Brass Band",
        "{n} and {m}", "The {a} {n}", "{n} Ensemble", "{town} Orchestra", "{town} Big Band",
        "{n} Players", "{n} Theatre Company", "{town} Singers",
    ),
    clubs=("{town} Athletics", "{town} Sports Club", "{town} Leisure", "{town} Academy"),
    kinds={
        "concert": CONCERT, "stage": STAGE, "talk": TALK, "tour": TOUR, "family": FAMILY,
        "exhibition": SHOW,
    },
    openings=(
        ("{genre} '{name}' in {town}.", "'{name}' comes to {town}."),
        ("You are invited to '{name}'.", "Under the title '{name}' {town} opens its doors."),
        ("{name}: {genre} at {venue}.", "{venue} is getting ready for '{name}'."),
    ),
    subtitles=(
        "An evening of {n} and {m}", "{genre} with {ens}", "Celebrating {n}", "{a} encounters",
        "{genre} for everyone",
    ),
    headlines=(
        "{town} looks forward to '{name}'", "'{name}' comes to {town}", "{ens} bring '{name}' along",
        "{genre} in {town}: {name}", "{name} – a feast of {n}", "When {n} speak: {name}",  # noqa: RUF001
    ),
    generic=(
        "Christmas Fair", "Farmers Market", "Flea Market", "Blood Donation", "Fun Run", "Easter Egg Hunt",
        "Bonfire Night", "Summer Fete", "Jumble Sale", "Coffee Morning", "Annual General Meeting",
        "Carol Service", "Open Day", "Quiz Night",
    ),
    weekly=(
        "Open singing circle", "Board game night", "Running club", "Toddler group {n}", "Knit and natter",
        "Repair café", "Chess club {n}", "Folk dance", "Memory café", "Language café", "Rehearsal {ens}",
    ),
    films=("{a} {n}", "{n} and {m}", "The {n} of {town}", "No Room for {n}", "Mission {n}", "{n} {tail}"),
    festivals=("{town} Carnival", "{n} Festival", "{town} Arts Week", "{n} Street Party"),
    festival_parts=(
        "Opening ceremony", "Concert: {ens}", "Children's fair", "Service in the marquee",
        "Dance with {ens}", "Parade", "Fireworks", "Theatre: {a} {n}", "Brunch with {ens}",
        "Reading: {n} and {m}",
    ),
    courses=("Yoga", "Pilates", "Aqua fitness", "Italian", "Judo", "Watercolours", "Spinning"),
    levels=(
        ("for beginners", "advanced"), ("group 1", "group 2"), ("class A", "class B"),
        ("for children", "for adults"), ("girls", "boys"),
    ),
    markers=("CANCELLED: {}", "Sold out! {}", "{} (postponed)", "RESCHEDULED: {}", "{} - cancelled"),
    synonyms=(
        ("Talk", "Lecture"), ("Concert", "Gig"), ("Walk", "Stroll"), ("Kids", "Children"),
        ("Theatre", "Theater"), (" and ", " & "), ("Flea Market", "Car boot sale"), ("colour", "color"),
        ("Fair", "Fayre"), ("Exhibition", "Show"),
    ),
    boilerplate=lines("""
        For more information please contact the organiser. Details may change.
        Tickets are available in advance from the visitor centre and on the door.
        We look forward to seeing you! Your events team.
        Free entry, donations welcome. Parking is available on site.
        This event was submitted by its organiser. All details without warranty.
        Find out more in our printed brochure, available in shops across the area.
    """),
    cinema_text="{venue} shows the latest films in digital quality. Tickets at the box office.",
    course_text="{club} offers classes for everyone. Please bring a mat and comfortable clothes.",
    generic_text=(
        "You are invited to the {name} in {town}. Food and drink available.",
        "{town} has its own again: {name}. The {n} club will serve refreshments.",
    ),
)  # fmt: skip
