"""Settings of the four signals: date, place, title and description."""

from pydantic import Field

from dedup_model.setting import Number, Section, Whole, score, setting, weight


class Geo(Section):
    """The place signal: distance of coordinates, venue names as a check."""

    max_distance_km: Number = setting(
        10.0, "Distance at which the score reaches 0.", "km", 0.01, 1000
    )
    min_confidence: Number = score(0.85, "Coordinates below this confidence are not used.")
    neutral_score: Number = score(0.5, "Score when the place of either listing is unknown.")
    venue_match_distance_km: Number = setting(
        1.0, "Below this distance the venue names are compared too.", "km", 0, 1000
    )
    venue_mismatch_factor: Number = score(0.5, "Factor for near places with unlike venue names.")
    venue_words_share: Number = score(
        0.8, "Share of the likeness of venue names that is rare words in common."
    )
    venue_word_sets_share: Number = score(
        0.7, "Share of the likeness of letters that is word sets: hall, congress centre hall."
    )
    venue_floor: Number = setting(
        0.4, "Likeness at which venue names are unlike.", "score", 0, 0.69
    )
    venue_ceiling: Number = setting(
        0.9, "Likeness from which venue names are the same.", "score", 0.7, 1
    )
    unlike_venue_score: Number = score(
        0.5, "Likeness below which near places have unlike venue names."
    )
    street_floor: Number = setting(
        0.6, "Similarity at which streets with numbers are unlike; the same at 1.", "score", 0, 0.99
    )
    same_city_score: Number = score(
        0.75, "Score of one city when no more is known; neutral_score when the city is not known."
    )
    same_city_unlike_score: Number = score(
        0.45, "Score of one city with unlike venues or streets; alike ones score 1."
    )
    same_city_unlike_twice_score: Number = score(
        0.3, "Score of one city with unlike venues and streets."
    )
    unknown_city_unlike_score: Number = score(
        0.0, "Score of unlike venues or streets when a city is not known."
    )
    unknown_city_alike_score: Number = score(
        0.9, "Score of alike venues or streets when a city is not known."
    )
    other_city_score: Number = score(0.1, "Score of two cities when no more is known.")
    other_city_unlike_score: Number = score(
        0.0, "Score of two cities with unlike venues or streets."
    )
    other_city_alike_score: Number = score(0.3, "Score of two cities with alike venues or streets.")
    common_title_factor: Number = score(
        0.2, "Factor where no venue is known, under a title that stands at several of a city."
    )
    common_title_likeness: Number = score(
        0.4, "Likeness of venues or streets that is needed to count at all under such a title."
    )
    common_title_venues: Whole = setting(
        3, "So many venues, of whatever sources, make a title one of these; 0: one source's alone.",
        "venues", 0, 1000,
    )  # fmt: skip
    use_towns: bool = Field(
        default=True, description="Where no city is stated, towns in venues and titles count."
    )
    use_districts: bool = Field(
        default=True, description="Two districts of a city count as two cities."
    )


class Date(Section):
    """The date signal: shared days times agreement of start times."""

    time_tolerance_minutes: Whole = setting(
        30, "Start times this close agree fully.", "minutes", 0, 1440
    )
    time_close_minutes: Whole = setting(
        90, "Start times this far apart score close_factor.", "minutes", 0, 1440
    )
    close_factor: Number = score(0.1, "Time factor at time_close_minutes.")
    far_factor: Number = score(0.0, "Time factor between the close and the gap corner.")
    time_gap_penalty_hours: Number = setting(
        2.0, "Start times further apart score time_gap_penalty_factor.", "hours", 0, 24
    )
    time_gap_penalty_factor: Number = score(0.0, "Time factor beyond time_gap_penalty_hours.")
    unknown_time_factor: Number = score(
        0.9, "Time factor of a shared day when either start time is unknown."
    )
    other_source_factor: Number = score(
        0.25, "Least time factor between two sources: one names the doors, the other the start."
    )
    night_minutes: Whole = setting(
        180, "Shows before this time also count as the evening before.", "minutes", 0, 720
    )
    other_source_hours: Number = setting(
        3.0, "Start times up to which other_source_factor holds.", "hours", 0, 24
    )
    shifted_factor: Number = score(
        0.55,
        "Least time factor between two sources exactly 1, 2 or 12 hours apart: badly converted.",
    )
    named_time_minutes: Whole = setting(
        90, "Doors or a start that a text names count this far from the stated time.", "minutes", 0, 720
    )  # fmt: skip
    unknown_date_score: Number = score(0.5, "Score when either listing names no date.")


class TitleBlend(Section):
    """How word-set similarity is blended into word-sequence similarity of two titles."""

    primary_weight: Number = weight(0.4, "Weight of token-sort similarity inside the window.")
    secondary_weight: Number = weight(0.6, "Weight of token-set similarity inside the window.")
    blend_lower: Number = score(0.25, "Token-sort similarity where the window opens.")
    blend_upper: Number = score(0.95, "Token-sort similarity where the window closes.")


class Title(TitleBlend):
    """The title signal."""

    primary_weight: Number = weight(0.7, "Weight of token-sort similarity inside the window.")
    secondary_weight: Number = weight(0.3, "Weight of token-set similarity inside the window.")
    blend_lower: Number = score(0.4, "Token-sort similarity where the window opens.")
    blend_upper: Number = score(0.8, "Token-sort similarity where the window closes.")
    cross_source_type: TitleBlend = Field(
        default=TitleBlend(),
        description="The blend for an article (`artikel`) against a list entry (`terminliste`).",
    )
    coverage_share: Number = score(
        0.5, "Share of the evidence that is rare title words found in the other listing."
    )
    one_sided_share: Number = score(
        0.5,
        "Share of the coverage that is its better direction: one title says more than the other.",
    )
    left_over_penalty: Number = score(
        0.15, "Evidence that title words left over on both sides take away: Beginners, Advanced."
    )
    contrast_score: Number = score(
        0.3, "Most that titles with other numbers, letters or contrary words score: Part 1, Part 2."
    )
    evidence_floor: Number = setting(-0.2, "Evidence at which the score is 0.", "score", -1, 0.5)
    evidence_ceiling: Number = setting(0.85, "Evidence at which the score is 1.", "score", 0.51, 2)
    series_parts: Whole = setting(
        2, "Unlike titles of one day beside one name that make it a series; 0: none is.",
        "titles", 0, 1000,
    )  # fmt: skip
    own_place_factor: Number = score(
        0.25, "Factor for the weight of a title word that repeats the listing's city or venue."
    )
    same_text_score: Number = score(
        0.7, "Least score of two listings with one long description: a changed title."
    )


class Description(Section):
    """The description signal."""

    both_missing_score: Number = score(0.5, "Score when neither listing has a description.")
    one_missing_score: Number = score(0.4, "Score when just one listing has a description.")
    unlike_score: Number = score(
        0.3, "Score of two descriptions with nothing in common: sources word things their own way."
    )
    letters_floor: Number = setting(
        0.4, "Similarity of sorted words at which descriptions are unlike.", "score", 0, 0.69
    )
    letters_ceiling: Number = setting(
        0.9, "Similarity of sorted words from which descriptions are the same.", "score", 0.7, 1
    )
    words_ceiling: Number = setting(
        0.8, "Share of the shorter one's rare words that counts as all of them.", "score", 0.01, 1
    )
    long_characters: Whole = setting(
        40, "Length from which a text is not the same by chance.", "characters", 1, 2000
    )
