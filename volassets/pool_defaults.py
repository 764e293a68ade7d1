"""Which models are the defaults, and how a pool of several tickers changes them.

Models over all tickers gain where there are several to learn from, so that with `pooled_from` tickers they join the
default models and the default members of a combination. Whatever differs from a default stays as it was set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from volassets.errors import InputError
from volassets.models.protocol import Model
from volassets.models.registry import MODELS

if TYPE_CHECKING:
    from volassets.settings import Settings

IMPOSSIBLE = "setting {} = {!r} is not possible: {}. Correct it in volassets.toml, the environment or the command."
POOLED_MODELS = tuple(name for name, model in MODELS.items() if model.scope == "month")
DEFAULT_MODELS = tuple(name for name in MODELS if name not in ("lstm_reference", *POOLED_MODELS))


def has_pool(settings: Settings) -> bool:
    """Return whether the pinned pool, or else the list of tickers, is large enough for pooled models by default."""
    return 0 < settings.pooled_from <= len(settings.pool or settings.tickers)


def with_pool(settings: Settings) -> Settings:
    """Return the settings with the pooled models where `models` and a combination's `members` are the defaults.

    A combination is left as it is where the models of the settings lack one of the members that it would get.
    """
    if not has_pool(settings):
        return settings
    models, sections = settings.models, dict(settings.model_sections)
    if set(models) == set(DEFAULT_MODELS):
        models = tuple(name for name in MODELS if name in (*models, *POOLED_MODELS))
    for name, model in MODELS.items():
        if model.members_with_pool and set(model.members_with_pool) <= set(models):
            own, default = settings.model(name).member_names, model().member_names
            if own == default:
                sections[name] = {**sections.get(name, {}), "members": list(model.members_with_pool)}
    return settings.model_copy(update={"models": models, "model_sections": sections})


def require_members(settings: Settings, model: Model) -> None:
    """Refuse a combination of models that do not exist, or that a run would not fit.

    Raises
    ------
    InputError
        With the member that is wrong.
    """
    for member in model.member_names:
        if member not in MODELS or settings.model(member).member_names:
            simple = ", ".join(name for name in MODELS if not settings.model(name).member_names)
            rule = f"{member!r} is no model that can be combined; choose from {simple}"
            raise InputError(IMPOSSIBLE.format(f"[{model.name}] members", list(model.member_names), rule))
        if model.name in settings.models and member not in settings.models:
            raise InputError(
                f"{model.name} needs {member}, which is not among the models of this run "
                f"({', '.join(settings.models)}): add it to them, leave {model.name} out, or take {member} out of "
                f"`members` in the section [{model.name}]."
            )
