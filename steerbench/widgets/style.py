"""How the components look: one style sheet over JupyterLab's own colours, light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import ipywidgets

from steerbench.errors import KeywordError, closest

CSS = """
.sb-panel {
  --sb-text: var(--jp-ui-font-color1, #222);
  --sb-faint: var(--jp-ui-font-color2, #666);
  --sb-line: var(--jp-border-color2, #ddd);
  --sb-accent: var(--jp-brand-color1, #1976d2);
  color: var(--sb-text);
  padding: 12px;
  overflow: visible;
  font-size: 13px;
}
.sb-columns { flex-flow: row wrap; gap: 28px; overflow: visible; }
.sb-column { gap: 8px; overflow: visible; }
.sb-directions { gap: 2px; max-height: 396px; padding-right: 2px; overflow: hidden auto; }
.sb-panel .sb-row { gap: 8px; align-items: center; overflow: visible; }
.sb-panel .widget-inline-hbox, .sb-panel .jupyter-button { margin: 0; }
.sb-panel .jupyter-button { border-radius: 4px; width: auto; padding: 0 10px; }
.sb-panel .jupyter-button:focus-visible, .sb-panel .noUi-handle:focus-visible {
  outline: 2px solid var(--sb-accent); outline-offset: 2px;
}
.sb-panel input { border-radius: 4px; }
.sb-head { border-bottom: 1px solid var(--sb-line); margin: 0; color: var(--sb-faint); }
.sb-head .widget-html-content { display: flex; gap: 8px; font-size: 12px; line-height: 22px; }
.sb-head span:nth-child(1) { flex: 0 0 132px; padding-left: 8px; box-sizing: border-box; }
.sb-head span:nth-child(2) { flex: 1; }
.sb-head span:nth-child(3) { flex: 0 0 60px; padding-left: 8px; box-sizing: border-box; }
.sb-name input[type="text"] { border-color: transparent; background: transparent; }
.sb-name input[type="text"]:hover, .sb-name input[type="text"]:focus {
  border-color: var(--sb-line); background: var(--jp-layout-color1, #fff);
}
.sb-invalid input[type="text"] { border-color: #d32f2f; color: #d32f2f; }
.sb-panel .noUi-connect { background: var(--sb-line); }
.sb-panel .sb-middle .noUi-base::before {
  content: ""; position: absolute; left: 50%; top: -4px; height: 12px; width: 1px;
  background: var(--sb-faint);
}
.sb-panel .widget-readout {
  min-width: 38px; width: 38px; margin: 0 0 0 6px; padding: 0;
  text-align: right; font-variant-numeric: tabular-nums;
}
.sb-picture {
  position: relative; overflow: hidden; cursor: pointer; user-select: none;
  border-radius: 6px; background: var(--jp-layout-color2, #eee);
}
.sb-picture img { width: 100%; margin: 0; display: block; -webkit-user-drag: none; }
.sb-picture .sb-original { position: absolute; inset: 0; opacity: 0; pointer-events: none; }
.sb-picture:active .sb-original, .sb-panel:has(.sb-compare:active) .sb-original { opacity: 1; }
.sb-picture:active::after, .sb-panel:has(.sb-compare:active) .sb-picture::after {
  content: "original"; position: absolute; left: 8px; bottom: 8px; padding: 1px 8px;
  border-radius: 10px; background: #000a; color: #fff; font-size: 12px;
}
.sb-differences:active::after { content: "difference to strength 0" !important; }
.sb-stage { position: relative; overflow: visible; }
.sb-stage canvas {
  position: absolute; inset: 0; width: 100%; height: 100%; border-radius: 6px; outline: none;
}
.sb-panel:has(.sb-compare:active) .sb-stage canvas { opacity: 0; }
.sb-tools .widget-toggle-buttons, .sb-tools .widget-toggle-buttons > div { margin: 0; }
.sb-tools .widget-label { min-width: 0; }
.sb-faint { color: var(--sb-faint); font-size: 12px; line-height: 16px; margin: 0; }
.sb-faint .widget-html-content { line-height: 16px; overflow-wrap: anywhere; }
.sb-sheet { max-width: 100%; height: auto; cursor: pointer; outline: none; }
.sb-notice { margin: 4px 0 0; overflow: visible; }
.sb-error, .sb-note {
  padding: 6px 10px; border-radius: 4px; line-height: 1.4; white-space: normal;
  border-left: 3px solid #d32f2f; background: #d32f2f1f; overflow-wrap: anywhere;
}
.sb-note { border-left-color: #2e7d32; background: #2e7d321f; }
.sb-scores table { width: 100%; font-size: 12px; border-collapse: collapse; }
.sb-scores th { color: var(--sb-faint); font-weight: normal; }
.sb-scores th, .sb-scores td { padding: 1px 6px; text-align: right; line-height: 18px; }
.sb-scores td:first-child, .sb-scores th:first-child { text-align: left; }
.sb-card { overflow: auto hidden; max-width: 860px; margin-bottom: 8px; }
.sb-card-body { gap: 0; max-height: 420px; overflow: hidden auto; min-width: 816px; }
.sb-card-head { min-width: 816px; border-bottom: 1px solid var(--sb-line); overflow: visible; }
.sb-card-head, .sb-card-row .widget-html-content {
  display: grid; gap: 0 6px; align-items: center;
}
.sb-card-head { grid-template-columns: 108px 100px 104px 86px 46px 46px 112px 54px 68px 38px; }
.sb-card-row .widget-html-content {
  grid-template-columns: 100px 104px 86px 46px 46px 112px 54px 68px 38px;
  line-height: 28px; font-size: 12px; font-variant-numeric: tabular-nums; white-space: nowrap;
}
.sb-card-row .widget-html-content span { overflow: hidden; text-overflow: ellipsis; }
.sb-card-row small, .sb-card-head button { color: var(--sb-faint); }
.sb-panel .sb-card button {
  background: none; box-shadow: none; text-align: left; padding: 0 2px; height: 28px; min-width: 0;
}
.sb-panel .sb-card-head button { font-size: 11px; padding: 0 2px; width: 100%; }
.sb-card-row {
  position: relative; gap: 6px; overflow: visible; flex: 0 0 28px; border-radius: 4px;
}
.sb-card-row:hover { background: var(--jp-layout-color2, #eee); }
.sb-card-row.sb-chosen { background: color-mix(in srgb, var(--sb-accent) 16%, transparent); }
.sb-panel .sb-card-row button {
  position: static; width: 108px; flex: 0 0 108px; color: var(--sb-text);
}
.sb-card-row button::after { content: ""; position: absolute; inset: 0; cursor: pointer; }
.sb-card-row .widget-html { margin: 0; pointer-events: none; }
.sb-bar { display: inline-block; width: 46px; height: 8px; margin-right: 6px; border-radius: 4px;
  overflow: hidden; background: var(--sb-line); }
.sb-bar b { display: block; height: 100%; background: var(--sb-accent); }
"""


def style_sheet() -> ipywidgets.HTML:
    """The style sheet as an invisible widget; every component carries it."""
    return ipywidgets.HTML(f"<style>{CSS}</style>", layout={"display": "none"})


def button(text: str, icon: str, tooltip: str) -> ipywidgets.Button:
    """A button as wide as its text."""
    return ipywidgets.Button(
        description=text, icon=icon, tooltip=tooltip, layout={"width": "auto", "flex": "0 0 auto"}
    )


def row(*children: ipywidgets.Widget) -> ipywidgets.HBox:
    """Controls side by side."""
    box = ipywidgets.HBox(children)
    box.add_class("sb-row")
    return box


def column(children: Iterable[ipywidgets.Widget], **layout: str) -> ipywidgets.VBox:
    """Controls one below the other."""
    box = ipywidgets.VBox(tuple(children), layout=layout)
    box.add_class("sb-column")
    return box


def refuse_unknown(component: str, given: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raise for keyword arguments that a component does not have, with the closest it has.

    >>> refuse_unknown("LatentSliders", {"sede": 1}, ["seed", "size"])
    Traceback (most recent call last):
    ...
    steerbench.errors.KeywordError: LatentSliders has no argument 'sede'. Did you mean 'seed'?
    """
    for name in given:
        raise KeywordError(f"{component} has no argument {name!r}. {closest(name, known, 1)}")
