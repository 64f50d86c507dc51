"""How good a forecast is: of fields (`weather`), as shown after a forecast (`tally`), of `images`."""
