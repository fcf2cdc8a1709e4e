"""The figures of a study: one look, colours that colour-blind readers tell apart, text that stays text in SVG."""
