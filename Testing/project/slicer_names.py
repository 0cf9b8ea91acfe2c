"""Names that Slicer's Python has, from Slicer 5.10 (Qt 5.15) on; written down by hand.

Of ``qt``: widgets and helpers in both Qt 5.15 and Qt 6, as far as a module's panels may need
them. A name is added when the module needs it and its place in Slicer has been looked up.
"""

from __future__ import annotations


def _names(text: str) -> set[str]:
    return set(text.split())


QT = _names(
    """
    Qt QObject QTimer QSettings QSize QPoint QRect QUrl QFile QFileInfo QDir QEvent QLocale
    QProcess QStandardPaths QItemSelectionModel QModelIndex QSortFilterProxyModel
    QStringListModel QElapsedTimer QDateTime QByteArray QApplication QColor QBrush QPen QIcon
    QPixmap QImage QPainter QPalette QFont QFontMetrics QCursor QKeySequence QDesktopServices
    QStandardItemModel QStandardItem QValidator QIntValidator QDoubleValidator QWidget QFrame
    QLabel QPushButton QToolButton QRadioButton QCheckBox QButtonGroup QGroupBox QComboBox
    QSpinBox QDoubleSpinBox QSlider QLineEdit QTextEdit QPlainTextEdit QTextBrowser
    QProgressBar QListWidget QListWidgetItem QTableWidget QTableWidgetItem QTreeWidget
    QTreeWidgetItem QTableView QListView QHeaderView QAbstractItemView QTabWidget
    QStackedWidget QScrollArea QSplitter QSizePolicy QSpacerItem QToolBar QMainWindow
    QDockWidget QStyle QVBoxLayout QHBoxLayout QGridLayout QFormLayout QBoxLayout QDialog
    QDialogButtonBox QMessageBox QFileDialog QColorDialog QInputDialog QProgressDialog QMenu
    QUiLoader
    """
)
# QAction has moved between Qt's libraries, but PythonQt's name space is flat.
QT |= {"QAction", "QActionGroup", "QShortcut"}

CTK = _names(
    """
    ctkCollapsibleButton ctkSliderWidget ctkDoubleSpinBox ctkPathLineEdit ctkComboBox
    ctkCheckableComboBox ctkMessageBox
    """
)

# Widgets, classes and objects in ``slicer`` beside the vtk classes.
SLICER = _names(
    """
    app mrmlScene modules util i18n packaging selfTests ScriptedLoadableModule qMRMLWidget
    qMRMLNodeComboBox qMRMLTableView qMRMLSegmentsTableView qMRMLSegmentEditorWidget
    qMRMLSliceWidget qMRMLThreeDWidget qSlicerScriptedLoadableModule
    qSlicerScriptedLoadableModuleWidget
    """
)

APPLICATION = _names(
    """
    applicationLogic applicationName applicationVersion majorVersion minorVersion temporaryPath
    layoutManager moduleManager settings userSettings revisionUserSettings processEvents
    pauseRender resumeRender setOverrideCursor restoreOverrideCursor testingEnabled
    topLevelWidgets connect disconnect aboutToQuit startupCompleted mrmlScene
    """
)

# Signals, written as in a ``connect``, that only Qt 5 or only Qt 6 has.
ONE_QT_SIGNALS = {
    "currentIndexChanged(QString)": "Qt 6 has currentTextChanged(QString)",
    "activated(QString)": "Qt 6 has textActivated(QString)",
    "valueChanged(QString)": "Qt 6 has textChanged(QString)",
    "buttonClicked(int)": "Qt 6 has idClicked(int)",
    "checkStateChanged(Qt::CheckState)": "Qt 5 has stateChanged(int)",
}
