"""The last step of the flow: models and forecasts over a period, scored, compared and reported.

`plan.make_plan` finds what can be compared and refuses the rest before any forecast is computed;
`evaluation.evaluate` goes through the initial times in parts and keeps sums, which add up exactly
over parts and machines; `results` makes scores and intervals of the sums; `report` shows them.
"""
