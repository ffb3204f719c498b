"""Metrics in Prometheus's form: the calls of a server, its process, gauges of a service; a port for them."""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.registry import Collector

from dedup_model.errors import DedupError
from dedup_rpc.counts import BOUNDS, Counts
from dedup_rpc.logs import where

LOG = logging.getLogger("event_dedup.metrics")
READ_SECONDS = 10.0
CALL_LABELS = ("grpc_type", "grpc_service", "grpc_method")
EDGES = (*map(str, BOUNDS), "+Inf")

Samples = Mapping[tuple[str, ...], float]


class Metrics:
    """The metrics of one server; nothing of them is shared with another one in the same process."""

    def __init__(self, counts: Counts) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(_Calls(counts))
        ProcessCollector(registry=self.registry)

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Add a gauge that is read at each scrape, in a thread of its own.

        While `read` raises, for instance since the service is sealed, the gauge is left out.
        """
        self.gauges(name, text, (), lambda: {(): read()})

    def gauges(
        self, name: str, text: str, labels: Sequence[str], read: Callable[[], Samples]
    ) -> None:
        """Add a gauge with labels: `read` maps the labels' values to numbers, see `gauge`."""
        self.registry.register(_Read(GaugeMetricFamily, name, text, labels, read))

    def counters(
        self, name: str, text: str, labels: Sequence[str], read: Callable[[], Samples]
    ) -> None:
        """Add a counter with labels, read as in `gauges`."""
        self.registry.register(_Read(CounterMetricFamily, name, text, labels, read))


class _Read(Collector):
    def __init__(
        self,
        family: type[GaugeMetricFamily] | type[CounterMetricFamily],
        name: str,
        text: str,
        labels: Sequence[str],
        read: Callable[[], Samples],
    ) -> None:
        self._family = family
        self._name, self._text, self._labels, self._read = name, text, labels, read

    def collect(self) -> Iterator[Metric]:
        """Yield the metric with what is read now."""
        family = self._family(self._name, self._text, labels=self._labels)
        for values, number in self._samples().items():
            family.add_metric(values, number)
        yield family

    def _samples(self) -> Samples:
        try:
            return self._read()
        except DedupError as error:
            LOG.debug("%s cannot be read: %s", self._name, error.reason)
        except Exception as error:
            LOG.warning("%s cannot be read: %s", self._name, where(error))
        return {}


class _Calls(Collector):
    """Turns counts into metrics with the names that dashboards for gRPC servers expect."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """Yield what the counts say now."""
        handled = CounterMetricFamily(
            "grpc_server_handled", "Calls that ended", labels=(*CALL_LABELS, "grpc_code")
        )
        running = GaugeMetricFamily(
            "grpc_server_in_flight", "Calls that were let in and run", labels=CALL_LABELS
        )
        seconds = HistogramMetricFamily(
            "grpc_server_handling_seconds",
            "Seconds from a call's begin to its end",
            labels=CALL_LABELS,
        )
        for one in list(self._counts.methods.values()):
            labels = (one.kind, one.service, one.method)
            running.add_metric(labels, one.running)
            for code, count in list(one.ended.items()):
                handled.add_metric((*labels, code), count)
            sums = accumulate(one.buckets)
            seconds.add_metric(labels, list(zip(EDGES, sums, strict=True)), one.seconds)
        yield from (handled, running, seconds, self._refused())

    def _refused(self) -> Metric:
        refused = CounterMetricFamily(
            "eventdedup_refused_credentials", "Calls refused for who makes them", labels=("reason",)
        )
        for reason, count in list(self._counts.refused.items()):
            refused.add_metric((reason,), count)
        return refused


class _Request(WSGIRequestHandler):
    """One scrape; who connects and says nothing is let go."""

    timeout = READ_SECONDS

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""


class _Server6(ThreadingWSGIServer):
    address_family = socket.AF_INET6


class MetricsPort:
    """A plaintext HTTP port that answers with the metrics; takes them in threads of its own."""

    def __init__(self, metrics: Metrics, address: str) -> None:
        """Listen on `host:port`; raises OSError when it is taken or not to be bound."""
        host, _, port = address.rpartition(":")
        server = _Server6 if host.startswith("[") else ThreadingWSGIServer
        self._server = _bound(metrics, host.strip("[]"), int(port), server)
        self.address = f"{host}:{self._server.server_port}"
        poll = {"poll_interval": 0.1}
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs=poll, name="metrics", daemon=True
        )
        self._thread.start()

    async def close(self) -> None:
        """Stop listening."""
        await asyncio.to_thread(self._server.shutdown)
        self._server.server_close()
        self._thread.join()


def _bound(metrics: Metrics, host: str, port: int, server: type[WSGIServer]) -> WSGIServer:
    try:
        return make_server(host, port, make_wsgi_app(metrics.registry), server, _Request)
    except (OSError, OverflowError):
        raise OSError(
            f"metrics cannot listen on {host}:{port}: taken, or not an address here"
        ) from None
