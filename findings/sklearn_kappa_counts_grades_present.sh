#!/usr/bin/env bash
# scikit-learn 1.9.1: weighted kappa takes grade 4 for the neighbour of grade 2 when no image is of grade 3.
#
# Diabetic retinopathy, X-rays of knees and biopsies are graded 0 to 4 and scored by quadratic weighted kappa: a
# mistake costs the square of the distance of the grades. cohen_kappa_score takes for the distance the one of their
# places among the grades that occur in the two lists, and not that of the numbers. A fold, a hospital or a validation
# batch without a rare grade, which is easily so, has a shorter scale, where far mistakes are cheap, so that figures
# of two folds are no figures of one kind, and of two networks the worse one is the better. One image of the missing
# grade puts it right, however it is classified, and so does labels=range(5). `labels` in another order is another
# scale, too, and grades that are texts are sorted as texts. Nothing is said in any of these. (mindcv has no kappa of
# its own.)
# Seen with: scikit-learn 1.9.1, numpy 2.4.6, Python 3.11. Output seen: `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check scikit-learn==1.9.1 numpy==2.4.6

cat > look.py <<'PYTHON'
import warnings

import numpy as np
from sklearn.metrics import cohen_kappa_score

GRADES = range(5)
warnings.simplefilter("error")


def defined(truth, predicted):
    """Quadratic weighted kappa by its definition, over the grades' own numbers."""
    truth, predicted = np.array(truth), np.array(predicted)
    return 1 - np.mean((truth - predicted) ** 2) / np.mean((truth[:, None] - predicted[None, :]) ** 2)


def show(what, truth, predicted):
    seen = cohen_kappa_score(truth, predicted, weights="quadratic")
    scale = cohen_kappa_score(truth, predicted, weights="quadratic", labels=GRADES)
    right = defined(truth, predicted)
    print(f"{what}: {seen:.4f}; with labels=range(5) {scale:.4f}, by the definition {right:.4f}")


truth = [0] * 6 + [1] * 6 + [2] * 6 + [4] * 2
near = [0] * 4 + [1] * 2 + [1] * 4 + [2] * 2 + [2] * 4 + [1] * 2 + [4] * 2
far = [0] * 6 + [1] * 6 + [2] * 4 + [4] * 2 + [2] * 2
show("no grade 3, six mistakes by one grade", truth, near)
show("no grade 3, four mistakes by two grades", truth, far)
show("and one image of grade 3, the first network", [*truth, 3], [*near, 3])
show("and one image of grade 3, the second network", [*truth, 3], [*far, 3])

shuffled = cohen_kappa_score(truth, far, weights="quadratic", labels=[4, 0, 1, 2, 3])
print(f"labels=[4, 0, 1, 2, 3], the second network: {shuffled:.4f}")
names = ["grade 8", "grade 9", "grade 10"]
for grades in ([8, 9, 10], names):
    seen = cohen_kappa_score(grades * 2, [*grades, grades[0], grades[1], grades[1]], weights="quadratic")
    print(f"{grades}, one 10 taken for 9: {seen:.4f}")
PYTHON

cat > expected <<'TEXT'
no grade 3, six mistakes by one grade: 0.8315; with labels=range(5) 0.8872, by the definition 0.8872
no grade 3, four mistakes by two grades: 0.8958; with labels=range(5) 0.7163, by the definition 0.7163
and one image of grade 3, the first network: 0.8972; with labels=range(5) 0.8972, by the definition 0.8972
and one image of grade 3, the second network: 0.7415; with labels=range(5) 0.7415, by the definition 0.7415
labels=[4, 0, 1, 2, 3], the second network: 0.0625
[8, 9, 10], one 10 taken for 9: 0.8571
['grade 8', 'grade 9', 'grade 10'], one 10 taken for 9: 0.5000
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
