"""How long a watch bears refusals, and how pauses grow: with a clock that the test moves."""

import grpc
import pytest

from dedup_rpc.client.following import GRACE_SECONDS, Following
from dedup_rpc.client.retry import Retry
from eventdedup.config.v1 import config_service_pb2 as pb

CODES = grpc.StatusCode


class Refused(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "no"

    def trailing_metadata(self) -> None:
        return None


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def following(clock: Clock) -> Following:
    return Following(clock=clock)


def heartbeat() -> pb.WatchConfigResponse:
    return pb.WatchConfigResponse(heartbeat=pb.Heartbeat(epoch="e", revision=1))


@pytest.mark.parametrize(
    "code", [CODES.UNAUTHENTICATED, CODES.PERMISSION_DENIED, CODES.INVALID_ARGUMENT]
)
def test_a_refusal_raises_at_the_first_connection(
    following: Following, code: grpc.StatusCode
) -> None:
    with pytest.raises(Exception, match=code.name):
        following.ended(Refused(code))


@pytest.mark.parametrize(
    "code", [CODES.UNAUTHENTICATED, CODES.PERMISSION_DENIED, CODES.OUT_OF_RANGE]
)
def test_later_a_refusal_raises_when_it_lasts(
    following: Following, clock: Clock, code: grpc.StatusCode
) -> None:
    following.accept(heartbeat())
    clock.now += GRACE_SECONDS
    assert following.ended(Refused(code)) > 0
    clock.now += 1
    with pytest.raises(Exception, match=code.name):
        following.ended(Refused(code))


def test_a_message_ends_the_count_of_a_refusal(following: Following, clock: Clock) -> None:
    following.accept(heartbeat())
    clock.now += GRACE_SECONDS
    following.accept(heartbeat())
    clock.now += GRACE_SECONDS
    assert following.ended(Refused(CODES.PERMISSION_DENIED)) > 0


def test_a_service_that_is_gone_is_waited_for_without_end(
    following: Following, clock: Clock
) -> None:
    following.accept(heartbeat())
    for _ in range(100):
        clock.now += 3600
        assert 0 < following.ended(Refused(CODES.UNAVAILABLE)) <= 2


def test_pauses_double_up_to_the_longest_and_a_message_starts_them_anew() -> None:
    following = Following(retry=Retry(first_pause=0.1, longest_pause=1.0))
    pauses = [following.ended(None) for _ in range(8)]
    for pause, most in zip(pauses, (0.1, 0.2, 0.4, 0.8, 1, 1, 1, 1), strict=True):
        assert most / 2 <= pause <= most
    following.accept(heartbeat())
    assert following.ended(None) <= 0.1


def test_pauses_differ_so_that_clients_do_not_come_back_together() -> None:
    assert len({Retry().pause(5) for _ in range(20)}) > 10


def test_an_older_state_of_the_same_epoch_is_not_shown(following: Following) -> None:
    shown = [following.accept(state(number)) for number in (5, 4, 5, 6)]
    assert [one and one.revision.number for one in shown] == [5, None, None, 6]


def state(number: int) -> pb.WatchConfigResponse:
    return pb.WatchConfigResponse(
        state=pb.ConfigState(epoch="e", revision=pb.Revision(revision=number))
    )
