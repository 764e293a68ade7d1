"""Exchanges by the suffix of Yahoo's symbols, and indices without a suffix, as names of `exchange_calendars`.

Source of the suffixes: Yahoo's help page SLN2310, "Exchanges and data providers on Yahoo Finance". Where an exchange
has no calendar of its own, the one of the same country with the same holidays stands for it; a suffix whose exchange
has none is missing here, and its tickers get the finding `guessed_calendar`.
"""

from __future__ import annotations

SUFFIXES = {
    "AQ": "XLON", "AS": "XAMS", "AT": "ASEX", "AX": "XASX", "BA": "XBUE", "BC": "XBOG", "BD": "XBUD", "BE": "XETR",
    "BK": "XBKK", "BM": "XETR", "BO": "XBOM", "BR": "XBRU", "CBT": "CMES", "CL": "XBOG", "CME": "CMES", "CMX": "CMES",
    "CN": "XTSE", "CO": "XCSE", "DE": "XETR", "DU": "XDUS", "EX": "XEUR", "F": "XFRA", "HA": "XETR", "HE": "XHEL",
    "HK": "XHKG", "HM": "XHAM", "IC": "XICE", "IL": "XLON", "IR": "XDUB", "IS": "XIST", "JK": "XIDX", "JO": "XJSE",
    "KA": "XKAR", "KL": "XKLS", "KQ": "XKRX", "KS": "XKRX", "L": "XLON", "LIM": "XLIM", "LS": "XLIS", "MC": "XMAD",
    "ME": "XMOS", "MI": "XMIL", "MU": "XETR", "MX": "XMEX", "NE": "XTSE", "NS": "XBOM", "NX": "XPAR", "NYB": "IEPA",
    "NYM": "CMES", "NZ": "XNZE", "OL": "XOSL", "OS": "XTKS", "PA": "XPAR", "PR": "XPRA", "PS": "XPHS", "RG": "XRIS",
    "RO": "XBSE", "SA": "BVMF", "SAU": "XSAU", "SG": "XSTU", "SI": "XSES", "SN": "XSGO", "SR": "XSAU", "SS": "XSHG",
    "ST": "XSTO", "SW": "XSWX", "SZ": "XSHG", "T": "XTKS", "TA": "XTAE", "TI": "XMIL", "TF": "XMIL", "TL": "XTAL",
    "TO": "XTSE", "TS": "XTSE", "TW": "XTAI", "TWO": "XTAI", "V": "XTSE", "VI": "XWBO", "VS": "XLIT", "WA": "XWAR",
    "XA": "XASX", "XC": "XLON", "XD": "XAMS", "ZA": "XZAG",
}  # fmt: skip
# Patterns of the whole symbol after ^, in order; an index that none describes is American.
INDICES = {
    r"AEX|AMX|ASCX": "XAMS",
    r"ATX|ATXPRIME": "XWBO",
    r"AXJO|AORD|AXKO|AFLI|AXVI|ATLI": "XASX",
    r"BFX|BEL20": "XBRU",
    r"BSESN|BSE.*|NSE.*|NIFTY.*|CNX.*|CRSLDX|INDIAVIX": "XBOM",
    r"BVSP|IBX.*": "BVMF",
    r"FCHI|SBF120|CN20|N100|N150|PX1": "XPAR",
    r"FTSE|FT[ALMSN][A-Z]*|FTMC|FTAI": "XLON",
    r"GDAXI|GDAXIP|MDAXI|SDAXI|TECDAX|HDAX|STOXX|STOXX50E|SX[0-9A-Z]+E?|V1X|V2TX": "XETR",
    r"GSPTSE|TX[0-9A-Z]+|SPTSX.*": "XTSE",
    r"HSI|HSCE|HSCC|HSIL|HSTECH|HSN[FUPC]": "XHKG",
    r"IBEX|SMSI": "XMAD",
    r"IPSA|SPIPSA|IGPA": "XSGO",
    r"ISEQ": "XDUB",
    r"JKSE|JKLQ45|JKII": "XIDX",
    r"KLSE": "XKLS",
    r"KS11|KS200|KQ11|KOSPI.*": "XKRX",
    r"MERV|M\.?AR": "XBUE",
    r"MXX|INMX": "XMEX",
    r"N225|N300|TOPX|NKVI": "XTKS",
    r"NZ50|NZ20": "XNZE",
    r"OMX|OMXS(30|PI)|OMXSPI": "XSTO",
    r"OMXC(20|25|20CAP)": "XCSE",
    r"OMXH(25|PI)": "XHEL",
    r"OSEAX|OBX": "XOSL",
    r"PSI20|PSI": "XLIS",
    r"SSMI|SSHI|SMI.*": "XSWX",
    r"STI": "XSES",
    r"TWII|TWO[A-Z]*": "XTAI",
    r"WIG.*": "XWAR",
    r"SSEC|SSE[A-Z0-9]+|CSI300": "XSHG",
    r"TASI": "XSAU",
    r"TA35|TA125": "XTAE",
    r"SET": "XBKK",
    r"BUX": "XBUD",
    r"XU100|XU030": "XIST",
    r"PSEI": "XPHS",
    r"KSE100|KSE": "XKAR",
    r"COLCAP": "XBOG",
}
