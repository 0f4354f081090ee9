"""Flower's grid to a SuperLink that may be out for a while: every request ends, none is final."""

from typing import Any

import httpx
from flwr.superlink.grid import HttpGrid

from fedcausal_server.transport.outage import STATUS

__all__ = ["SteadyGrid"]

REQUEST_SECONDS = 20.0


class SteadyGrid(HttpGrid):
    """`HttpGrid` with an end to its patience, and with patience for every error of the server.

    Flower's own repeats a request for ever when nobody answers, so that a study could wait for a
    SuperLink that never comes back; and it gives up at once when the SuperLink answers 500, which
    also ends the thread that says that the study is alive. Here a request is repeated for 20
    seconds whichever it was; `outage.insist` decides what happens then.

    It relies on four names of Flower that are not public: `_retry_invoker`, `_connect`, `_client`
    and its `_interceptors`.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._retry_invoker.max_time = REQUEST_SECONDS

    def _connect(self) -> None:
        """Connect, with the rule on errors in front."""
        super()._connect()
        client: Any = self._client
        client._interceptors = (_Passing(), *client._interceptors)


class _Passing:
    """Shows Flower every error of the server as 503, which it takes for one that passes."""

    def intercept(self, context: Any, call_next: Any) -> httpx.Response:
        response: httpx.Response = call_next(context)
        if response.status_code >= 500:
            response.extensions[STATUS] = response.status_code
            response.status_code = 503
        return response
