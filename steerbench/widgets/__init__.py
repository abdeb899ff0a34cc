"""Widgets for JupyterLab and Voila: steer a generator by hand and watch.

>>> from steerbench import widgets
>>> widgets.LatentSliders.__name__
'LatentSliders'

A component is built once and then only changed; nothing is displayed from a callback, and no
mistake is printed: it stands in the component, in red. The pieces that components share are
`Picture` (the picture, and the original under it), `Notice` (what went wrong, or well),
`History` (undo and redo), `SaveRow` (a recipe or a PNG to a path) and `Scores` (what a predictor
reads). `Flipbook` leafs through pictures that were drawn before. `UnitHeatmaps` shows what every
unit of a layer sees, and `UnitPainter` paints with them. `DirectionLabeller` makes a direction of a
person's yes and no, and `BoundaryGrid` compares directions on the same pictures.
`ScorecardTable` is a table of directions whose rows open sliders.
`PromptBox` follows a typed prompt.
`InpaintCanvas` fills what is painted over.
`PhotographInverter` takes an upload and searches its code.
"""

from steerbench.widgets.boundary_grid import BoundaryGrid
from steerbench.widgets.direction_labeller import DirectionLabeller
from steerbench.widgets.flipbook import Flipbook
from steerbench.widgets.history import History
from steerbench.widgets.inpaint_canvas import InpaintCanvas
from steerbench.widgets.latent_sliders import LatentSliders
from steerbench.widgets.notice import Notice
from steerbench.widgets.photograph_inverter import PhotographInverter
from steerbench.widgets.picture import Picture
from steerbench.widgets.prompt_box import PromptBox
from steerbench.widgets.save_row import SaveRow
from steerbench.widgets.scorecard_table import ScorecardTable
from steerbench.widgets.scores import Scores
from steerbench.widgets.unit_heatmaps import UnitHeatmaps
from steerbench.widgets.unit_painter import UnitPainter

__all__ = [
    "BoundaryGrid",
    "DirectionLabeller",
    "Flipbook",
    "History",
    "InpaintCanvas",
    "LatentSliders",
    "Notice",
    "PhotographInverter",
    "Picture",
    "PromptBox",
    "SaveRow",
    "ScorecardTable",
    "Scores",
    "UnitHeatmaps",
    "UnitPainter",
]
