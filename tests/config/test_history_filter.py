"""The history by author, by path and by time, over pages."""

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from config_service.edits import Meta, Update
from config_service.store import Store
from dedup_model.change import Change
from dedup_rpc.wire import timestamp
from eventdedup.config.v1 import config_service_pb2 as pb

CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("anna", {"thresholds": {"high": 0.8}}),
    ("bert", {"geo": {"neutral_score": 0.4}}),
    ("anna", {"thresholds": {"low": 0.2}, "geo": {"neutral_score": 0.3}}),
    ("bert", {"category_weights": {"overrides": {"konzert": {"date": 0.5}}}}),
    ("a%_", {"title": {"cross_source_type": {"blend_lower": 0.3}}}),
]


@pytest.fixture
def history(store: Store) -> Store:
    for author, document in CHANGES:
        store.apply(Update(Change(document), Meta(author)))
    return store


async def numbers(client: Any, **only: Any) -> list[int]:
    found: list[int] = []
    token = ""
    while True:
        request = pb.ListRevisionsRequest(page_size=2, page_token=token, **only)
        answer = await client.stub.ListRevisions(request)
        found.extend(revision.revision for revision in answer.revisions)
        token = answer.next_page_token
        if not token:
            return found


@pytest.mark.parametrize(
    ("only", "wanted"),
    [
        ({}, [6, 5, 4, 3, 2, 1]),
        ({"author": "anna"}, [4, 2]),
        ({"author": "a%"}, []),
        ({"author": "a%_"}, [6]),
        ({"path_prefix": "thresholds"}, [4, 2]),
        ({"path_prefix": "thresholds.high"}, [2]),
        ({"path_prefix": "threshold"}, []),
        ({"path_prefix": "Thresholds"}, []),
        ({"path_prefix": "thresholds.HIGH"}, []),
        ({"path_prefix": "geo", "author": "bert"}, [3]),
        ({"path_prefix": "category_weights.overrides"}, [5]),
        ({"path_prefix": "title"}, [6]),
        ({"path_prefix": "%"}, []),
        ({"path_prefix": 'x" OR 1=1 --'}, []),
    ],
)
async def test_a_filter_shows_what_it_names_over_all_pages(
    history: Store, client: Any, only: dict[str, str], wanted: list[int]
) -> None:
    assert await numbers(client, **only) == wanted


async def test_times_bound_the_history(history: Store, client: Any) -> None:
    made = {story.number: story.created_at for story in history.page(None, 10)}
    assert await numbers(client, created_from=timestamp(made[3])) == [6, 5, 4, 3]
    assert await numbers(client, created_until=timestamp(made[3])) == [2, 1]
    later = timestamp(datetime.now(UTC) + timedelta(days=1))
    assert await numbers(client, created_from=later) == []


async def test_an_impossible_time_is_refused(client: Any) -> None:
    request = pb.ListRevisionsRequest(created_from=Timestamp(seconds=10**15))
    refused = await client.refused(client.stub.ListRevisions(request))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.violations[0].path == "created_from"
