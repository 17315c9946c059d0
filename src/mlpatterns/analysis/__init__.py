"""Pure statistics: functions of arrays, without files, stores or clocks."""
