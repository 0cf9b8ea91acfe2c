"""What ``import ctk`` gives: the few widgets of CTK that a segmentation module needs."""

# ruff: noqa: N801, N802, N815

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from Testing.SlicerHost import dialogs
from Testing.SlicerHost.widgets import base, inside, stand_in, stored

_HEADER = 24


def _fold(self: Any) -> None:
    self.fold()


@stand_in
class ctkCollapsibleButton(base(QtWidgets.QAbstractButton)):  # type: ignore[misc]
    """A section with a headline; a click on that hides and shows what is inside."""

    contentsCollapsed = QtCore.Signal(bool)
    collapsed = stored(bool, False, _fold)

    def __init__(self, *arguments: Any) -> None:
        text, parent = _text_and_parent(arguments)
        super().__init__(parent)
        self._hidden: list[Any] = []
        self.text = text
        self.checkable = True
        QtWidgets.QAbstractButton.setChecked(self, True)
        self.setContentsMargins(0, _HEADER, 0, 0)
        self.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.Preferred)
        inside(self, "toggled(bool)", self._toggled)

    def _toggled(self, checked: bool) -> None:
        if self.collapsed == checked:
            self.collapsed = not checked

    def fold(self) -> None:
        collapsed = self.collapsed
        if collapsed:
            inside = [child for child in self.children() if isinstance(child, QtWidgets.QWidget)]
            self._hidden = [child for child in inside if not child.isHidden()]
            for child in self._hidden:
                child.setVisible(False)
        else:
            for child in self._hidden:
                child.setVisible(True)
            self._hidden = []
        self.setMaximumHeight(_HEADER if collapsed else 16777215)
        QtWidgets.QAbstractButton.setChecked(self, not collapsed)
        self.contentsCollapsed(collapsed)

    def hitButton(self, point: QtCore.QPoint) -> bool:
        return point.y() < _HEADER

    def minimumSizeHint(self) -> QtCore.QSize:
        return QtCore.QSize(80, _HEADER).expandedTo(super().minimumSizeHint())

    def paintEvent(self, _event: QtGui.QPaintEvent) -> None:
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, QtWidgets.QWidget.width.__get__(self)(), _HEADER)
        option.features = QtWidgets.QStyleOptionButton.ButtonFeature.None_
        painter.drawControl(QtWidgets.QStyle.ControlElement.CE_PushButtonBevel, option)
        arrow = QtWidgets.QStyle.PrimitiveElement
        option.rect = QtCore.QRect(6, 6, 12, 12)
        shape = arrow.PE_IndicatorArrowRight if self.collapsed else arrow.PE_IndicatorArrowDown
        painter.drawPrimitive(shape, option)
        flags = QtCore.Qt.AlignmentFlag.AlignVCenter | QtCore.Qt.TextFlag.TextShowMnemonic
        painter.drawText(QtCore.QRect(24, 0, 2000, _HEADER), flags, self.text)


@stand_in
class ctkDoubleSpinBox(base(QtWidgets.QDoubleSpinBox)):  # type: ignore[misc]
    """CTK's is no QDoubleSpinBox, but has these of its properties and signals."""


@stand_in
class ctkSliderWidget(base(QtWidgets.QWidget)):  # type: ignore[misc]
    """A slider and a spin box that show the same number."""

    valueChanged = QtCore.Signal(float)
    valueIsChanging = QtCore.Signal(float)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._slider = base(QtWidgets.QSlider)(QtCore.Qt.Orientation.Horizontal, self)
        self._box = base(QtWidgets.QDoubleSpinBox)(self)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._slider)
        row.addWidget(self._box)
        self._box.maximum = 99.0
        self._spread()
        inside(self._slider, "valueChanged(int)", self._slid)
        inside(self._box, "valueChanged(double)", self._typed)

    def _spread(self) -> None:
        """The slider counts the spin box's steps."""
        steps = (self._box.maximum - self._box.minimum) / self._box.singleStep
        blocked = self._slider.blockSignals(True)
        self._slider.maximum = round(steps)
        self._slider.value = round((self._box.value - self._box.minimum) / self._box.singleStep)
        self._slider.blockSignals(blocked)

    def _slid(self, step: int) -> None:
        self._box.value = self._box.minimum + step * self._box.singleStep

    def _typed(self, value: float) -> None:
        self._spread()
        self.valueChanged(value)

    def _forward(name: str, kind: type) -> QtCore.Property:  # noqa: N805
        def read(self: Any) -> Any:
            return getattr(self._box, name)

        def write(self: Any, value: Any) -> None:
            setattr(self._box, name, value)
            self._spread()

        return QtCore.Property(kind, read, write)

    minimum = _forward("minimum", float)
    maximum = _forward("maximum", float)
    value = _forward("value", float)
    singleStep = _forward("singleStep", float)
    decimals = _forward("decimals", int)
    suffix = _forward("suffix", str)
    prefix = _forward("prefix", str)
    pageStep = stored(float, 10.0)
    tracking = stored(bool, True)

    def setValue(self, value: float) -> None:
        self.value = value

    def setRange(self, minimum: float, maximum: float) -> None:
        self._box.setRange(minimum, maximum)
        self._spread()


@stand_in
class ctkComboBox(base(QtWidgets.QComboBox)):  # type: ignore[misc]
    """A combo box that can show a text of its own while nothing is chosen."""

    defaultText = stored(str, "")
    forceDefault = stored(bool, False)


@stand_in
class ctkCheckableComboBox(base(QtWidgets.QComboBox)):  # type: ignore[misc]
    """A combo box whose entries are ticked, several at once."""

    checkedIndexesChanged = QtCore.Signal()

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        model = QtWidgets.QComboBox.model(self)
        inside(model, "rowsInserted(QModelIndex,int,int)", self._inserted)
        inside(model, "dataChanged(QModelIndex,QModelIndex)", self._changed)

    def _inserted(self, _parent: Any, first: int, last: int) -> None:
        for row in range(first, last + 1):
            item = QtWidgets.QComboBox.model(self).item(row)
            item.setFlags(item.flags() | QtCore.Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(QtCore.Qt.CheckState.Unchecked)

    def _changed(self, *_where: Any) -> None:
        self.checkedIndexesChanged()

    def checkedIndexes(self) -> tuple[Any, ...]:
        model = QtWidgets.QComboBox.model(self)
        rows = (model.item(row) for row in range(model.rowCount()))
        return tuple(
            model.indexFromItem(item)
            for item in rows
            if item.checkState() == QtCore.Qt.CheckState.Checked
        )

    def setCheckState(self, index: QtCore.QModelIndex, state: Any) -> None:
        item = QtWidgets.QComboBox.model(self).itemFromIndex(index)
        item.setCheckState(QtCore.Qt.CheckState(state))

    def checkState(self, index: QtCore.QModelIndex) -> Any:
        return QtWidgets.QComboBox.model(self).itemFromIndex(index).checkState()

    def _count(self) -> int:
        return QtWidgets.QComboBox.model(self).rowCount()

    allChecked = QtCore.Property(bool, lambda self: len(self.checkedIndexes()) == self._count())
    noneChecked = QtCore.Property(bool, lambda self: not self.checkedIndexes())


@stand_in
class ctkPathLineEdit(base(QtWidgets.QWidget)):  # type: ignore[misc]
    """A path to type or to choose."""

    Files, Writable, Readable, Dirs = 0x002, 0x020, 0x010, 0x001
    currentPathChanged = QtCore.Signal(str)

    filters = stored(int, 0x001 | 0x002)
    nameFilters = stored("QStringList", [])
    settingKey = stored(str, "")
    showHistoryButton = stored(bool, True)
    showBrowseButton = stored(bool, True)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._edit = base(QtWidgets.QLineEdit)(self)
        self._button = base(QtWidgets.QToolButton)(self)
        self._button.text = "…"
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._edit)
        row.addWidget(self._button)
        inside(self._edit, "textChanged(QString)", self._changed)
        inside(self._button, "clicked()", self.browse)

    def _changed(self, path: str) -> None:
        self.currentPathChanged(path)

    def _set_path(self, path: str) -> None:
        self._edit.text = path

    currentPath = QtCore.Property(str, lambda self: self._edit.text, _set_path)

    def setCurrentPath(self, path: str) -> None:
        self.currentPath = path

    def addCurrentPathToHistory(self) -> None:
        """The history is not kept here."""

    def browse(self) -> None:
        chosen = dialogs.QFileDialog.getOpenFileName(self, "Select a file to save")
        if chosen:
            self.currentPath = chosen


@stand_in
class ctkMessageBox(dialogs.QMessageBox):
    """A message box that can be told not to come again."""

    dontShowAgainVisible = stored(bool, False)
    dontShowAgain = stored(bool, False)
    dontShowAgainSettingsKey = stored(str, "")


def _text_and_parent(arguments: tuple[Any, ...]) -> tuple[str, Any]:
    texts = [argument for argument in arguments if isinstance(argument, str)]
    parents = [argument for argument in arguments if isinstance(argument, QtCore.QObject)]
    return (texts or [""])[0], (parents or [None])[0]
