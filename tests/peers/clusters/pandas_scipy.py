import sys

import numpy
import pandas
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from answer import TOP, ZERO, give

# A value is divided in two, of twelve digits and what is above, so that 64 bits hold the exact sums.
DIGITS = 12

rows = pandas.read_csv(sys.argv[1], usecols=["from", "to", "value_raw"], dtype=str)
codes, addresses = pandas.factorize(pandas.concat([rows["from"], rows["to"]], ignore_index=True))
source, target = codes[: len(rows)], codes[len(rows) :]
texts = rows["value_raw"].str.zfill(DIGITS + 1)
high = texts.str.slice(stop=-DIGITS).astype("int64").to_numpy()
low = texts.str.slice(start=-DIGITS).astype("int64").to_numpy()


def sums(parts):
    total = numpy.zeros(len(addresses), dtype="int64")
    numpy.add.at(total, target, parts)
    numpy.subtract.at(total, source, parts)
    return total


balances_high, balances_low = sums(high), sums(low)
balances_high += balances_low // 10**DIGITS
balances_low %= 10**DIGITS
table = pandas.DataFrame({"address": addresses, "high": balances_high, "low": balances_low})
table = table[((table["high"] > 0) | ((table["high"] == 0) & (table["low"] > 0))) & (table["address"] != ZERO)]
top = table.sort_values(["high", "low", "address"], ascending=[False, False, True]).head(TOP)
place = numpy.full(len(addresses), -1)
place[top.index] = numpy.arange(len(top))
inside = (place[source] >= 0) & (place[target] >= 0) & (source != target)
ends = (place[source[inside]], place[target[inside]])
count, component = connected_components(coo_matrix((numpy.ones(inside.sum(), dtype=bool), ends), [len(top)] * 2), False)
names = top["address"].to_numpy()
give(len(table), [list(names[component == index]) for index in range(count)])
