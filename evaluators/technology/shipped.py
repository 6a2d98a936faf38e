"""The tables that come with this package, for the entry points ``hwnas.tables``."""

from __future__ import annotations

from importlib import resources

from evaluators.technology.files import DramFile, TableFile

_HERE = resources.files("evaluators.technology")

aladdin40 = TableFile(_HERE / "aladdin40.json")
horowitz45 = TableFile(_HERE / "horowitz45.json")
eyeriss = TableFile(_HERE / "eyeriss.json")
eyeriss8 = TableFile(_HERE / "eyeriss8.json")
timeloop_pat = TableFile(_HERE / "timeloop_pat.json")
dosa = TableFile(_HERE / "dosa.json")
maestro = TableFile(_HERE / "maestro.json")

lpddr4 = DramFile(_HERE / "dram" / "lpddr4.json")
lpddr2 = DramFile(_HERE / "dram" / "lpddr2.json")
ddr3 = DramFile(_HERE / "dram" / "ddr3.json")
gddr5 = DramFile(_HERE / "dram" / "gddr5.json")
hbm2 = DramFile(_HERE / "dram" / "hbm2.json")
