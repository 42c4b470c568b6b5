// A page that is opened as a file may not read other files, and so a search shows titles alone.
DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = location.protocol !== "file:";
