"""How much of each source a recipe reads: the configuration of its tokens, and deviations from a single pass."""

from __future__ import annotations

from dclm.recipe.recipe import Recipe
from dclm.tokens.config import Phase, TokenizeConfig
from dclm.train.scale import Scale


def tokens_config(recipe: Recipe, scale: Scale) -> TokenizeConfig:
    """The configuration of the training tokens."""
    weights = tuple(s.weight for s in recipe.data if s.weight is not None)
    names = [source.name for source in recipe.data]
    phases = tuple(
        Phase(share=phase.share, weights=tuple(phase.weights.get(name, 0.0) for name in names))
        for phase in recipe.phases
    )
    mixed = bool(weights or phases) or recipe.temperature is not None
    own = [recipe.epochs if source.max_repeats is None else source.max_repeats for source in recipe.data]
    return TokenizeConfig(
        seq_len=scale.model.seq_len,
        seed=recipe.seed,
        bos=recipe.bos,
        weights=weights or None,
        phases=phases,
        temperature=recipe.temperature,
        weights_by=recipe.weights_by,
        repeats=recipe.repeats,
        num_tokens=(recipe.tokens or scale.trained_tokens) if mixed else None,
        max_repeats=recipe.epochs if mixed else 1.0,
        source_repeats=tuple(own) if any(source.max_repeats is not None for source in recipe.data) else None,
    )


def repeats_declared(recipe: Recipe) -> list[str]:
    """How often the recipe may read its tokens, in words; empty for one pass."""
    most = max([float(recipe.epochs), *(source.max_repeats or 0.0 for source in recipe.data)])
    found = [f"up to {most:g} passes over the tokens"] if most > 1 else []
    if recipe.repeats is not None:
        rule = recipe.repeats
        found.append(f"documents repeated up to {rule.cap:g} times by {rule.column}: several passes over the tokens")
    return found


def mixture_line(recipe: Recipe) -> str | None:
    """The mixture, in words; None: all of everything."""
    said = []
    if recipe.phases:
        total = sum(phase.share for phase in recipe.phases)
        said.append("; ".join(f"{p.share / total:.0%}: {_shares(dict(p.weights))}" for p in recipe.phases))
    elif recipe.temperature is not None:
        said.append(f"sizes to the power 1/{recipe.temperature:g}")
    elif recipe.data[0].weight is not None:
        said.append(_shares({s.name: s.weight for s in recipe.data if s.weight is not None}))
    if said and recipe.weights_by == "documents":
        said[0] += " of the documents"
    return "; ".join([*said, *repeats_declared(recipe)]) or None


def _shares(weights: dict[str, float]) -> str:
    total = sum(weights.values()) or 1.0
    return ", ".join(f"{name} {weight / total:.3g}" for name, weight in weights.items() if weight)
