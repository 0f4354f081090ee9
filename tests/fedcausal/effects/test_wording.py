from fedcausal.effects.contrast import Contrast
from fedcausal.effects.wording import amount, class_sentence, effect_sentence
from fedcausal.schema import Kind, Variable

DOSE = Variable(name="dose", kind=Kind.CONTINUOUS, unit="mg")
SICK = Variable(name="sick", kind=Kind.BINARY, categories=("no", "yes"))
NUMBER = Contrast(treatment=SICK, outcome=DOSE, codes=(0.0, 1.0))
LEVEL = Contrast(treatment=DOSE, outcome=SICK, codes=(1.0, 2.0))


def test_a_number_has_its_unit_and_a_level_its_points():
    assert amount(NUMBER, 1.23456) == "1.235 mg"
    assert amount(LEVEL, 0.0712) == "7.12 percentage points"


def test_one_number():
    assert effect_sentence(NUMBER, -2.0, (-3.0, 1.0), "all", is_exact=False) == (
        "Setting sick to yes instead of no lowers dose by 2 mg on average over all (95 % interval "
        "of the change: -3 mg to 1 mg; it contains 0)."
    )
    exact = effect_sentence(LEVEL, 0.0, (0.0, 0.0), "all", is_exact=True)
    assert "does not change the probability of sick = yes" in exact


def test_a_class():
    found = class_sentence(NUMBER, (0.0, 1.0), (-0.5, 1.5), "all")
    assert "changes dose by 0 mg to 1 mg on average over all: the data leave 2 sets" in found
    assert "-0.5 mg to 1.5 mg" in found
