-- A row a scheduled flight, at the moment of decision. Nothing here is known later than that: no times or delays of the
-- flight itself but the label.
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
