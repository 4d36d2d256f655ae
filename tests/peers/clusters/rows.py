"""Reads with the standard library what the graph libraries that have no reader of their own need."""

import csv
import sys

from answer import TOP, ZERO


def read():
    """How many holders there are, the largest of them, and the pairs of these that traded."""
    balances = {}
    pairs = set()
    with open(sys.argv[1], newline="") as file:
        reader = csv.reader(file)
        header = next(reader)
        sender, receiver, amount = (header.index(name) for name in ("from", "to", "value_raw"))
        for row in reader:
            source, target, value = row[sender], row[receiver], int(row[amount])
            balances[source] = balances.get(source, 0) - value
            balances[target] = balances.get(target, 0) + value
            if source != target:
                pairs.add((source, target))
    balances.pop(ZERO, None)
    holders = [(-balance, address) for address, balance in balances.items() if balance > 0]
    holders.sort()
    top = [address for _, address in holders[:TOP]]
    among = set(top)
    return len(holders), top, [pair for pair in pairs if pair[0] in among and pair[1] in among]
