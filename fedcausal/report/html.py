"""The report as one self-contained HTML file."""

import base64
import hashlib
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from fedcausal.effects.e_value import e_value_sentence
from fedcausal.effects.effect import EffectEstimate
from fedcausal.report.content import Cell, ReportContent
from fedcausal.report.drawing import draw_svg
from fedcausal.report.interval_plot import interval_svg
from fedcausal_privacy.canonical import fingerprint

__all__ = ["render"]

SVG_NAMESPACE = ' xmlns="http://www.w3.org/2000/svg"'


def render(content: ReportContent) -> str:
    """Write the report: no script, no outer resource, every name escaped.

    The page's policy allows its one style sheet by hash and nothing else.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["cell"] = _cell
    environment.filters["e_value"] = e_value_sentence
    template = environment.from_string(_resource("template.html"))
    style = _resource("style.css")
    return template.render(
        content=content,
        style=Markup(style),  # noqa: S704  (our own file)
        style_hash=_style_hash(style),
        fingerprint=fingerprint(content.study_hash) if content.study_hash else "",
        graph=_inline(draw_svg(content.graph, content.tiers)) if content.graph else None,
        plots=[_plot(estimate, content) for estimate in content.effects],
    )


def _plot(estimate: EffectEstimate, content: ReportContent) -> Markup | None:
    """An effect that is 0 by the graph alone needs no axis."""
    if estimate.interval_kind == "exact":
        return None
    return _inline(interval_svg(estimate, content.units.get(estimate.outcome, "")))


def _resource(name: str) -> str:
    return files("fedcausal.report").joinpath(name).read_text(encoding="utf-8")


def _style_hash(style: str) -> str:
    return base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()


def _inline(svg: str) -> Markup:
    """Our own drawing, whose texts are escaped already; inside HTML it needs no namespace."""
    return Markup(svg.replace(SVG_NAMESPACE, "", 1))  # noqa: S704


def _cell(value: Cell) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else value
