"""One endpoint as the pool is given it."""

import pytest
from harness.endpoints import Endpoint
from harness.runs import requests, route, send_all

from batchrun.endpoint.pool.route import Route, serving


def test_an_endpoint_with_another_name_for_a_model_gets_that_name() -> None:
    """What identifies the row does not change: the outcome has the name of the job."""
    bodies: set[bytes] = set()

    def note(now_s: float, body: bytes) -> None:
        bodies.add(body)

    rows = [each._replace(model='m"é', body='{"model":"m\\"é","n":1}'.encode()) for each in requests(3)]
    named = route(Endpoint(lambda now_s: 5, trouble=note), "a", serves={'m"é': "org/m", "other": "x"})
    run = send_all([named, route(Endpoint(lambda now_s: 5), "b", serves={})], rows)
    assert [(each.model, each.endpoint, each.kind) for each in run.outcomes] == [('m"é', "a", None)] * 3
    assert bodies == {b'{"model":"org/m","n":1}'}


def test_the_body_of_a_batch_line_gets_only_the_other_name() -> None:
    """Wherever the model stands in it; one that has no other name there stays as it is."""
    bodies: set[bytes] = set()

    def note(now_s: float, body: bytes) -> None:
        bodies.add(body)

    written = b'{ "messages":[{"model":"m"}], "model" : "%b" ,"n":1}'
    rows = [
        each._replace(model=model, body=written % model.encode())
        for each, model in zip(requests(3), ("m", "same", "odd"), strict=True)
    ]
    named = route(Endpoint(lambda now_s: 5, trouble=note), "a", serves={"m": "org/m", "same": "same"})
    send_all([named], rows)
    assert bodies == {written % b"org/m", written % b"same", written % b"odd"}


@pytest.mark.parametrize(("model", "names"), [("m", ["a"]), ("n", ["a", "b"]), ("x", ["c"])])
def test_routes_serve_what_they_name_or_what_no_other_names(model: str, names: list[str]) -> None:
    """Where every route names its models, one that none names is tried everywhere: an endpoint knows what it has."""
    routes = [
        route(None, "a", serves={"m": "m", "n": "n"}),
        route(None, "b", serves={"n": "n"}),
        route(None, "c"),
    ]
    assert [each.name for each in serving(routes, model)] == names
    named: list[Route] = routes[:2]
    assert serving(named, "x") == named
