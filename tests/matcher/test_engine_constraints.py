"""Which of people's decisions a batch can obey."""

import random
from itertools import permutations

from matcher_service.engine.constraints import Constraint, Constraints, Key, Kind, resolved
from matcher_service.engine.listing import Listing

LISTINGS = [Listing(id=name, title=name, source_code="press") for name in "abcdef"]


def key(name: str, source: str = "press") -> Key:
    return Key(source, name)


def must(a: str, b: str) -> Constraint:
    return Constraint(key(a), key(b), Kind.MUST_LINK, "anna", "same poster")


def cannot(a: str, b: str) -> Constraint:
    return Constraint(key(a), key(b), Kind.CANNOT_LINK)


def named(found: Constraints) -> tuple[list[str], list[str]]:
    return tuple(
        [f"{LISTINGS[a].id}{LISTINGS[b].id}" for a, b in zip(p.left, p.right, strict=True)]
        for p in (found.must, found.cannot)
    )  # type: ignore[return-value]


def test_pairs_are_found_by_source_and_identifier_in_either_order() -> None:
    found = resolved(LISTINGS, [must("b", "a"), cannot("d", "c")])
    assert named(found) == (["ab"], ["cd"])
    assert (found.contradictory, found.absent) == ((), 0)


def test_the_same_identifier_of_another_source_is_another_listing() -> None:
    elsewhere = Constraint(key("a", "portal"), key("b"), Kind.MUST_LINK)
    found = resolved(LISTINGS, [elsewhere])
    assert named(found) == ([], [])
    assert found.absent == 1


def test_a_decision_given_twice_counts_once() -> None:
    found = resolved(LISTINGS, [must("a", "b"), must("a", "b"), must("b", "a")])
    assert named(found) == (["ab"], [])


def test_a_chain_that_links_what_cannot_be_one_is_reported_and_not_obeyed() -> None:
    chain = [must("a", "b"), must("b", "c"), cannot("a", "c")]
    found = resolved(LISTINGS, [*chain, must("d", "e"), cannot("e", "f")])
    assert named(found) == (["de"], ["ac", "ef"])
    assert set(found.contradictory) == set(chain)


def test_a_pair_decided_both_ways_stays_apart() -> None:
    found = resolved(LISTINGS, [must("a", "b"), cannot("b", "a")])
    assert named(found) == ([], ["ab"])
    assert len(found.contradictory) == 2


def test_the_order_of_constraints_does_not_matter() -> None:
    decisions = [must("a", "b"), must("b", "c"), cannot("a", "c"), must("d", "e")]
    results = {repr(resolved(LISTINGS, order)) for order in permutations(decisions)}
    assert len(results) == 1


def test_thousands_of_decisions_are_resolved() -> None:
    names = [f"{number:05d}" for number in range(3000)]
    listings = [Listing(id=name, title=name, source_code="press") for name in names]
    decisions = [must(*random.Random(seed).sample(names, 2)) for seed in range(5000)]
    assert len(resolved(listings, decisions).must) > 4900
