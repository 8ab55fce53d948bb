-- One row per scheduled flight, at the moment of decision. Everything but the label is known by then: the row has no
-- times or delays of the flight itself.
SELECT
    flight_id,
    scheduled_departure - INTERVAL 2 HOURS AS event_timestamp,
    origin,
    dest,
    carrier,
    tailnum,
    distance,
    hour AS scheduled_hour,
    weekday(make_date(year, month, day)) AS scheduled_weekday,
    arr_delay > 15 AS late
FROM flights
WHERE scheduled_departure - INTERVAL 2 HOURS >= :start_time
    AND scheduled_departure - INTERVAL 2 HOURS < :end_time
