"""What both services need to speak gRPC well: conversion, statuses, guard, serving, channels."""
