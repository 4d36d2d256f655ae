//! The colours of clusters, by rank.

/// On a light and on a dark ground. Neighbours differ in lightness as well as hue, so that people who see fewer hues
/// can tell them apart too.
pub(crate) const PALETTE: [(&str, &str); 10] = [
    ("#2563eb", "#5b9bff"),
    ("#c2570c", "#ff9d4d"),
    ("#0f8a7e", "#35d0ba"),
    ("#c0266b", "#ff7eb0"),
    ("#7c4dea", "#b79bff"),
    ("#8a6d00", "#f2cf4a"),
    ("#0a7ea8", "#58cdf5"),
    ("#b3261e", "#ff7b6b"),
    ("#4b7a12", "#a6e05c"),
    ("#9a3fb5", "#e08cf5"),
];

/// A cluster's colour, light and dark. Beyond the palette hues go on by the golden angle, which comes near none of the
/// last ones.
pub(crate) fn colours(rank: u32) -> (String, String) {
    let index = rank.saturating_sub(1);
    if let Some((light, dark)) = usize::try_from(index).ok().and_then(|index| PALETTE.get(index)) {
        return ((*light).to_owned(), (*dark).to_owned());
    }
    let hue = (f64::from(index) * 137.508) % 360.0;
    (format!("hsl({hue:.0} 58% 40%)"), format!("hsl({hue:.0} 70% 68%)"))
}

/// For a style sheet: `--c0` and so on.
pub(crate) fn variables(is_dark: bool) -> String {
    let colour = |(light, dark): &(&'static str, &'static str)| if is_dark { *dark } else { *light };
    PALETTE.iter().enumerate().map(|(index, pair)| format!("--c{index}:{};", colour(pair))).collect()
}
