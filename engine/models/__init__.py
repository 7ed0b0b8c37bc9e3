"""Models: what a graph asks. `open_model` opens the one that a graph describes.

Nothing is imported here until a model is opened: a plan and a check need no HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.language.program import ModelSpec
    from engine.models.base import Model

__all__ = ["open_model"]


def open_model(
    spec: ModelSpec, environment: Mapping[str, str], endpoints: MutableMapping[Any, Any] | None = None
) -> Model:
    """A model ready to be asked; it connects, and reads its key from `environment`, at the first call.

    Models that are opened with the same `endpoints` share the connections, places and rates of
    what is one model of one endpoint under several names (`small` and `large` from `default`):
    the endpoint does not know that a graph tells them apart. The first one's limits hold.
    Raises `ValueError` for a provider that is not built.
    """
    match spec.provider:
        case "openai":
            from engine.models.endpoint import Endpoint, normalised
            from engine.models.openai import OpenAI

            address = str(normalised(spec.base_url or ""))
            members = []
            for url, secret in ((spec.base_url, spec.secret), *spec.others):
                one = replace(spec, base_url=url, secret=secret, others=())
                shared = None
                if endpoints is not None:
                    place = (str(normalised(url or "")), spec.model, secret)
                    shared = endpoints.get(place) or endpoints.setdefault(place, Endpoint(one, environment))
                members.append(OpenAI(one, environment, shared, address))
            if len(members) == 1:
                return members[0]
            from engine.models.several import Several

            return Several(spec, members)
        case "offline":
            from engine.models.offline import Offline

            return Offline(spec)
        case "transformers":
            from engine.models.local import Local

            return Local(spec)
        case _:
            raise ValueError(f'provider "{spec.provider}" of model {spec.name} is not built yet')
