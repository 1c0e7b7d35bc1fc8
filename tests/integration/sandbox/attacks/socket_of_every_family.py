# Expect: refused
made = []
for family in range(46):
    for kind in (1, 2, 3, 5):
        if call("socket", family, kind, 0) == "done":
            made.append((family, kind))
print(made or "refused")
